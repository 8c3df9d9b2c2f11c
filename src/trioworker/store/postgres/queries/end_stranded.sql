-- name: end_stranded
-- rows: many
-- does: ends those of the jobs $1 that no worker holds, as failures with the error $2
-- locks: their rows in ready, then in waiting, in id order
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
ended as (
    insert into trioworker.job_completed (id, status, error, attempt, reaped)
    select id, 'failure', $2::text::jsonb, attempt, reaped
      from (select * from taken union all select * from released) as unstarted
    returning id
)
select ended.id, job.awaited
  from ended cross join lateral (
    select job.awaited from trioworker.job where job.id = ended.id offset 0
  ) as job
 order by ended.id
