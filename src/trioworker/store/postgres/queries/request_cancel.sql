-- name: request_cancel
-- rows: many
-- does: asks the workers that hold the jobs $1 to cancel them for the reason $2, and tells them
-- locks: only rows that it inserts
with asked as (
    insert into trioworker.cancel_request (id, reason)
    select job.id, $2 from trioworker.job
     where job.id = any ($1::uuid[])
       and not exists (select from trioworker.job_completed as done where done.id = job.id)
        on conflict (id) do nothing
    returning id
)
select asked.id, pg_notify('trioworker_cancel', claim.worker::text)
  from asked left join trioworker.claim on asked.id = any (claim.ids)
