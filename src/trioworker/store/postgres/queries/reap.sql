-- name: reap
-- rows: many
-- does: takes back up to $1 claims of dead workers; jobs lost more than $2 times end as failures
-- locks: those claims, in id order (skip locked); then only rows that it inserts
--
-- So do those that share their worker with all steps of a flow: nobody else may run them.
with dead as materialized (
    select claim.id, claim.worker, claim.ids, claim.attempts, claim.reaped from trioworker.claim
      left join trioworker.worker on worker.id = claim.worker
     where worker.id is null or worker.lost_at is not null or worker.stopped_at is not null
     order by claim.id
     limit $1 for update of claim skip locked
),
gone as (
    delete from trioworker.claim where id = any (array(select dead.id from dead))
),
member as materialized (
    select m.id, m.attempt, m.reaped + 1 as reaped, m.reaped >= $2 or stranded as hopeless,
           stranded, dead.worker
      from dead cross join lateral unnest(dead.ids, dead.attempts, dead.reaped)
           as m (id, attempt, reaped)
     cross join lateral coalesce((
           select job.options -> 'step' -> 'shared' is not null
             from trioworker.job where job.id = m.id
      ), false) as stranded
),
again as (
    insert into trioworker.ready (id, tag, priority, scheduled_for, attempt, reaped)
    select member.id, job.tag, job.priority, now(), member.attempt + 1, member.reaped
      from member cross join lateral (
           select job.tag, job.priority from trioworker.job where job.id = member.id offset 0
      ) as job
     where not hopeless
),
failed as (
    insert into trioworker.job_completed (id, status, error, worker, attempt, reaped)
    select id, 'failure', jsonb_build_object(
               'name', 'WorkerLost',
               'message', case when stranded then 'the one worker that may run it is lost'
                  else 'worker lost: ' || reaped || ' workers died with this job in their hands' end
           ), worker, attempt, reaped
      from member where hopeless
        on conflict (id) do nothing
),
remembered as (
    insert into trioworker.job_attempt (id, attempt, error, worker)
    select id, attempt, jsonb_build_object(
               'name', 'WorkerLost',
               'message', 'worker lost: it died with this job in its hands'
           ), worker
      from member where not hopeless
        on conflict (id, attempt) do nothing
)
select id, hopeless, stranded from member
