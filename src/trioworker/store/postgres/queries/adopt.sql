-- name: adopt
-- rows: many
-- does: the jobs of worker $1's claims other than those of $2, whose replies it never saw
-- locks: nothing
with mine as materialized (
    select claim.id, claim.ids, claim.attempts, claim.reaped from trioworker.claim
     where claim.worker = $1 and claim.id <> all ($2::uuid[])
)
select member.id, member.attempt, member.reaped, now() as scheduled_for, job.tag, job.priority,
       job.kind, job.path, job.args, job.options, job.awaited,
       case when job.options -> 'deadline' is not null then clock_timestamp() end as seen_at,
       mine.id as claim
  from mine
 cross join lateral unnest(mine.ids, mine.attempts, mine.reaped)
       with ordinality as member (id, attempt, reaped, place)
 cross join lateral (
    select * from trioworker.job where job.id = member.id offset 0
 ) as job
 order by mine.id, member.place
