-- name: request_cancel
-- rows: many
-- does: asks the workers that hold the jobs $1 to cancel them for the reason $2, and tells them
-- locks: only rows that it inserts, in id order; the database-wide NOTIFY lock, at commit
--
-- Asking twice tells the worker twice: the first hint may have been lost. A job that went back to
-- ready a moment ago has no worker to tell; the one that pulls it finds the request.
with unfinished as materialized (
    select job.id, held.worker
      from trioworker.job
      left join lateral (
        select claim.worker from trioworker.claim where job.id = any (claim.ids) limit 1
      ) as held on true
     where job.id = any ($1::uuid[])
       and not exists (
           select from trioworker.job_completed as done where done.id = job.id offset 0
       )
),
requested as (
    insert into trioworker.cancel_request (id, reason)
    select unfinished.id, $2 from unfinished order by unfinished.id
        on conflict (id) do nothing
)
select unfinished.id,
       case when unfinished.worker is not null
            then pg_notify('trioworker_cancel', unfinished.worker::text) end as told
  from unfinished
 order by unfinished.id
