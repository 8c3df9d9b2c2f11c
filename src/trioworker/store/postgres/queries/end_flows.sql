-- name: end_flows
-- rows: many
-- does: ends the flows $1 as $2 with results $3 and errors $4, stored by worker $7; what they were asked
-- locks: their rows in flow_state, under the locks of their outermost flows
--
-- The attempts $5, with $6 lost workers, are those of flows that have only just begun.
with gone as (
    delete from trioworker.flow_state where id = any ($1::uuid[])
    returning id, attempt, reaped, began_at
),
ended as (
    insert into trioworker.job_completed
           (id, status, result, error, worker, attempt, reaped, started_at, duration_ms)
    select over.id, over.status, over.result::jsonb, over.error::jsonb, $7,
           coalesce(gone.attempt, over.attempt), coalesce(gone.reaped, over.reaped),
           coalesce(gone.began_at, now()),
           greatest(0, least(2147483647, extract(epoch from now() - coalesce(gone.began_at, now())) * 1000))
      from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::integer[], $6::smallint[])
           as over (id, status, result, error, attempt, reaped)
      left join gone using (id)
        on conflict (id) do nothing
    returning id, attempt, reaped, duration_ms
)
select job.id, job.kind, job.path, job.args, job.tag, job.priority, job.options, job.awaited,
       ended.attempt, ended.reaped, ended.duration_ms
  from ended cross join lateral (
    select * from trioworker.job where job.id = ended.id offset 0
  ) as job
 order by job.id
