-- name: job_states
-- rows: many
-- does: where the jobs $1 stand and what became of them
-- locks: nothing
select job.id, job.kind, job.path, job.args, job.tag, job.priority, job.options, job.created_at,
       job.created_by,
       case when done.id is not null then done.status
            when claim.worker is not null then 'running'
            when ready.id is not null and ready.scheduled_for > now() then 'scheduled'
            when ready.id is not null then 'ready'
            when waiting.id is not null then 'waiting'
            else 'moving' end as state,
       coalesce(done.attempt, claim.attempt, ready.attempt, waiting.attempt) as attempt,
       coalesce(done.reaped, claim.reaped, ready.reaped, waiting.reaped) as reaped,
       coalesce(done.worker, claim.worker) as worker, ready.scheduled_for, claim.claimed_at,
       done.started_at, done.completed_at, done.duration_ms, done.result, done.error
  from unnest($1::uuid[]) with ordinality as asked (id, place)
  join trioworker.job on job.id = asked.id
  left join trioworker.job_completed as done on done.id = job.id
  left join trioworker.ready on ready.id = job.id
  left join trioworker.waiting on waiting.id = job.id
  left join lateral (
    select claim.worker, claim.claimed_at,
           claim.attempts[array_position(claim.ids, job.id)] as attempt,
           claim.reaped[array_position(claim.ids, job.id)] as reaped
      from trioworker.claim where job.id = any (claim.ids) limit 1
  ) as claim on true
 order by asked.place
