-- name: own_children
-- rows: many
-- does: which of the jobs $2 are children of jobs in worker $1's claims
-- locks: nothing
select asked.id
  from unnest($2::uuid[]) as asked (id)
  cross join lateral (
    select job.parent from trioworker.job where job.id = asked.id offset 0
  ) as job
 where exists (
    select from trioworker.claim where claim.worker = $1 and job.parent = any (claim.ids)
 )
