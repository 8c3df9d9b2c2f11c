-- name: requeue_jobs
-- rows: many
-- does: makes those of the jobs $1 that failed or were canceled ready once more; their ids and tags
-- locks: their rows in job_completed, in id order; then all others of those jobs
--
-- How they have ended so far stays in the history. Those with a limit wait for a slot. What was given
-- up has failed with its last worker: from now on that loss counts as an attempt that failed. A job
-- that has lost any keeps one of them, for it is to be claimed alone.
with ended as materialized (
    select done.id, done.error, done.worker, done.attempt, done.started_at, done.duration_ms,
           case when done.status = 'failure' and done.started_at is null and done.reaped > 1
                then done.reaped - 1 else done.reaped end as reaped
      from trioworker.job_completed as done
     where done.id = any ($1::uuid[]) and done.status in ('failure', 'canceled')
     order by done.id for update
),
again as materialized (
    select ended.*, job.tag, job.path, job.priority, job.options -> 'limit' as limited
      from ended cross join lateral (
           select * from trioworker.job where job.id = ended.id offset 0
      ) as job
),
kept as (
    insert into trioworker.job_attempt (id, attempt, error, worker, started_at, duration_ms)
    select id, attempt, coalesce(error, jsonb_build_object('name', 'Unknown', 'message', '')),
           worker, started_at, duration_ms
      from again
        on conflict (id, attempt) do nothing
),
completions as (
    delete from trioworker.job_completed where id = any (array(select again.id from again))
),
expiries as (
    delete from trioworker.expiry where id = any (array(select again.id from again))
),
labels as (
    delete from trioworker.job_label where id = any (array(select again.id from again))
),
cancels as (
    delete from trioworker.cancel_request
     where id = any (array(
           select request.id from trioworker.cancel_request as request
            where request.id = any (array(select again.id from again))
            order by request.id for update
     ))
),
behind as (
    insert into trioworker.waiting (id, reason, key, priority, scheduled_for, attempt, reaped)
    select id, 'limit', coalesce(nullif(limited ->> 'key', ''), path), priority, now(), attempt + 1,
           reaped
      from again where jsonb_typeof(limited) = 'object'
),
ahead as (
    insert into trioworker.ready (id, tag, priority, scheduled_for, attempt, reaped)
    select id, tag, priority, now(), attempt + 1, reaped
      from again where jsonb_typeof(limited) is distinct from 'object'
)
select again.id, again.tag from again order by again.id
