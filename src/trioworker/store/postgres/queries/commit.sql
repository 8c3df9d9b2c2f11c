-- name: commit
-- rows: many
-- does: stores a batch of outcomes of worker $1, fenced by its claims $2; returns the ids NOT stored
-- locks: the claims concerned, in id order; then only rows that it inserts
--
-- An outcome counts when (id, attempt) stands in a claim that is still this worker's; any other is
-- returned: its lease was lost, or an earlier try of this very commit has stored it already.
-- Finished jobs go to job_completed; those with a delay ($10, seconds) go back to ready, with one
-- attempt more where $11 charges it; what has begun, a flow, goes where another statement puts it.
-- Claims lose the stored ids and end when none is left.
-- When all succeeded, the columns status, error, delay and charged may be left empty ('{}').
--
-- The claims are named by id wherever they are touched: joined to what is kept or held alone, the
-- planner may read all claims of all workers for each commit.
with held as materialized (
    select claim.id, claim.ids, claim.attempts, claim.reaped from trioworker.claim
     where claim.id = any ($2::uuid[]) and claim.worker = $1
     order by claim.id for update
),
member as materialized (
    select held.id as claim, m.id, m.attempt, m.reaped, m.place
      from held cross join lateral
           unnest(held.ids, held.attempts, held.reaped) with ordinality
           as m (id, attempt, reaped, place)
),
outcome as materialized (
    select * from unnest($3::uuid[], $4::integer[], $5::text[], $6::text[], $7::text[],
                         $8::float8[], $9::integer[], $10::float8[], $11::boolean[])
        as o (id, attempt, status, result, error, age_s, duration_ms, delay_s, charged)
),
matched as materialized (
    select outcome.*, member.claim, member.reaped
      from outcome join member using (id, attempt)
),
finished as (
    insert into trioworker.job_completed
           (id, status, result, error, worker, attempt, reaped, started_at, duration_ms)
    select id, case when cardinality($5) = 0 then 'success' else status end,
           result::jsonb, error::jsonb, $1, attempt, reaped,
           now() - age_s * interval '1 second', duration_ms
      from matched where delay_s is null and status is distinct from 'begun'
        on conflict (id) do nothing
),
returned as (
    insert into trioworker.ready (id, tag, priority, scheduled_for, attempt, reaped)
    select matched.id, job.tag, job.priority, now() + matched.delay_s * interval '1 second',
           matched.attempt + matched.charged::integer, matched.reaped
      from matched cross join lateral (
           select job.tag, job.priority from trioworker.job where job.id = matched.id offset 0
      ) as job
     where matched.delay_s is not null
),
kept as materialized (
    select member.claim, array_agg(member.id order by place) as ids,
           array_agg(member.attempt order by place) as attempts,
           array_agg(member.reaped order by place) as reaped
      from member left join matched using (id, attempt)
     where matched.id is null
     group by member.claim
),
shrunk as (
    update trioworker.claim
       set ids = kept.ids, attempts = kept.attempts, reaped = kept.reaped
      from kept where claim.id = kept.claim and claim.id = any ($2::uuid[])
),
ended as (
    delete from trioworker.claim
     where claim.id = any (array(
           select held.id from held where held.id not in (select kept.claim from kept)
     ))
)
select outcome.id from outcome
 where not exists (select from matched where matched.id = outcome.id)
