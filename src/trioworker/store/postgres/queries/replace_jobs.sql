-- name: replace_jobs
-- rows: many
-- does: ends those of the jobs $1 that no worker holds, as canceled: the jobs $2 take their places
-- locks: their rows in ready, then in waiting, in id order; others in waiting (skip locked)
--
-- Their slots are free with that. For each a job that waits for one is marked as new, so that the
-- next look at the limits finds it: their keys may be locked by nobody but the end of a transaction.
-- It is the last in line, for until that end it is locked, and whoever lets in the next passes it over.
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
    select id, 'canceled', jsonb_build_object(
               'name', 'Replaced',
               'message', 'replaced by job ' || ($2::uuid[])[array_position($1::uuid[], id)]
           ), attempt, reaped
      from (select * from taken union all select * from released) as unstarted
    returning id
),
freed as (
    delete from trioworker.slot where id = any (array(select taken.id from taken))
    returning key
),
looked as (
    update trioworker.waiting set fresh = true
     where id = any (array(
           select following.id from freed cross join lateral (
               select w.id from trioworker.waiting w
                where w.key = freed.key and not w.id = any ($1)
                order by w.priority, w.scheduled_for desc, w.id desc
                limit 1 for update skip locked
           ) as following
     ))
)
select ended.id, job.awaited, job.options
  from ended cross join lateral (
    select job.awaited, job.options from trioworker.job where job.id = ended.id offset 0
  ) as job
 order by ended.id
