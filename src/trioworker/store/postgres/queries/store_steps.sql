-- name: store_steps
-- rows: many
-- does: stores results of steps of worker $1's running jobs: $2 claims, ids, attempts, names, $6 results
-- locks: the claims concerned, in id order; then only rows that it inserts
--
-- Only for what stands in a claim that is still this worker's; returns the ids of all others. A step
-- that is stored already keeps its result: an earlier try of this very statement has stored it.
with held as materialized (
    select claim.ids, claim.attempts from trioworker.claim
     where claim.id = any ($2::uuid[]) and claim.worker = $1
     order by claim.id for update
),
step as materialized (
    select * from unnest($3::uuid[], $4::integer[], $5::text[], $6::text[])
        as step (id, attempt, name, result)
),
mine as materialized (
    select step.*
      from held cross join lateral unnest(held.ids, held.attempts) as member (id, attempt)
      join step using (id, attempt)
),
stored as (
    insert into trioworker.job_step (job, name, result)
    select mine.id, mine.name, mine.result::jsonb from mine order by mine.id, mine.name
        on conflict (job, name) do nothing
)
select step.id from step where not exists (
    select from mine where mine.id = step.id and mine.name = step.name
)
