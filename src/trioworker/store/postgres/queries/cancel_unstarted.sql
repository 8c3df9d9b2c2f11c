-- name: cancel_unstarted
-- rows: many
-- does: ends those of the jobs $1 that no worker holds, as canceled for the reason $2; flows within those of $3
-- locks: their rows in ready, then in waiting, in id order; in flow_state, under the locks of the outermost, $3
--
-- A flow that has begun since its family was looked at has steps that nobody here knows of: it is under
-- no lock of ours, so it is left as it is.
with ready_ones as materialized (
    select ctid as place from trioworker.ready where id = any ($1::uuid[]) order by id for update
),
waiting_ones as materialized (
    select id from trioworker.waiting where id = any ($1::uuid[]) order by id for update
),
taken as (
    delete from trioworker.ready where ctid = any (array(select place from ready_ones))
    returning id, attempt, reaped
),
released as (
    delete from trioworker.waiting where id = any (array(select waiting_ones.id from waiting_ones))
    returning id, attempt, reaped
),
left_off as (
    delete from trioworker.flow_state where id = any ($1) and root = any ($3::uuid[])
    returning id, attempt, reaped
),
ended as (
    insert into trioworker.job_completed (id, status, error, attempt, reaped)
    select id, 'canceled', jsonb_build_object('name', 'Cancelled', 'message', $2::text), attempt,
           reaped
      from (
        select * from taken union all select * from released union all select * from left_off
      ) as unstarted
    returning id
)
select ended.id, job.awaited
  from ended cross join lateral (
    select job.awaited from trioworker.job where job.id = ended.id offset 0
  ) as job
 order by ended.id
