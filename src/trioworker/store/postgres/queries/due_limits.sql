-- name: due_limits
-- rows: many
-- does: up to $1 keys that need a look, and up to $1 jobs of transactions that locked no key
-- locks: those jobs' rows in waiting (skip locked)
with fresh as (
    update trioworker.waiting set fresh = false
     where id = any (array(
           select new.id from trioworker.waiting as new
            where new.fresh order by new.id limit $1 for update skip locked
     ))
    returning id, key
)
select fresh.key, (job.options #>> '{limit,slots}')::integer as slots,
       (job.options #>> '{limit,window_s}')::float8 as window_s, job.created_at as said_at
  from fresh cross join lateral (
    select * from trioworker.job where job.id = fresh.id offset 0
  ) as job
union all
(select key, null, null, null from trioworker.concurrency
  where look_at <= now() order by look_at limit $1)
