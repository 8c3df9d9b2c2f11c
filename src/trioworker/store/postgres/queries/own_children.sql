-- name: own_children
-- rows: many
-- does: which of the jobs $2 are children of jobs in worker $1's claims
-- locks: nothing
with held as materialized (
    select unnest(claim.ids) as id from trioworker.claim where claim.worker = $1
)
select asked.id
  from unnest($2::uuid[]) as asked (id)
  cross join lateral (
    select job.parent from trioworker.job where job.id = asked.id offset 0
  ) as job
 where job.parent in (select held.id from held)
