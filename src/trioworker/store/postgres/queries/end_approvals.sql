-- name: end_approvals
-- rows: many
-- does: ends those of the approvals $1 that still wait, as $2 with results $3 and errors $4
-- locks: their rows in waiting
with gone as (
    delete from trioworker.waiting where id = any ($1::uuid[]) and reason = 'approval'
    returning id, attempt, reaped, since
),
ended as (
    insert into trioworker.job_completed (id, status, result, error, attempt, reaped, started_at, duration_ms)
    select gone.id, over.status, over.result::jsonb, over.error::jsonb, gone.attempt, gone.reaped,
           gone.since,
           greatest(0, least(2147483647, extract(epoch from now() - gone.since) * 1000))
      from gone join unnest($1::uuid[], $2::text[], $3::text[], $4::text[])
           as over (id, status, result, error) using (id)
    returning id
)
select ended.id, job.awaited
  from ended cross join lateral (
    select job.awaited from trioworker.job where job.id = ended.id offset 0
  ) as job
 order by ended.id
