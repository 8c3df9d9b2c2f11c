-- name: cancel_unstarted
-- rows: many
-- does: ends those of the jobs $1 that no worker holds, as canceled for the reason $2
-- locks: their rows in ready and waiting
with pulled_out as (
    delete from trioworker.ready where id = any ($1::uuid[]) returning id, attempt, reaped
),
released as (
    delete from trioworker.waiting where id = any ($1::uuid[]) returning id, attempt, reaped
)
insert into trioworker.job_completed (id, status, error, attempt, reaped)
select id, 'canceled', jsonb_build_object('name', 'Cancelled', 'message', $2::text), attempt, reaped
  from (select * from pulled_out union all select * from released) as unstarted
    on conflict (id) do nothing
returning id
