-- name: adopt
-- rows: many
-- does: the jobs of worker $1's claims other than those of $2, whose replies it never saw
-- locks: nothing
select member.id, member.attempt, member.reaped, now() as scheduled_for, job.tag, job.priority,
       job.kind, job.path, job.args, job.options, job.awaited, claim.id as claim
  from trioworker.claim
 cross join lateral unnest(claim.ids, claim.attempts, claim.reaped)
       with ordinality as member (id, attempt, reaped, place)
 cross join lateral (
    select * from trioworker.job where job.id = member.id offset 0
 ) as job
 where claim.worker = $1 and claim.id <> all ($2::uuid[])
 order by claim.id, member.place
