-- name: job_states
-- rows: many
-- does: where the jobs $1 stand and what became of them, in the order of $1
-- locks: nothing
--
-- The claims are searched for those jobs only that stand nowhere else. What an earlier attempt has told
-- says nothing of this one.
select job.id, job.kind, job.path, job.args, job.tag, job.priority,
       case when done.id is not null then done.status
            when ready.id is not null and ready.scheduled_for > now() then 'scheduled'
            when ready.id is not null then 'ready'
            when waiting.id is not null or under_way.id is not null then 'waiting'
            when held.worker is not null then 'running'
            else 'nowhere' end as state,
       coalesce(done.attempt, ready.attempt, waiting.attempt, under_way.attempt, held.attempt)
           as attempt,
       coalesce(done.reaped, ready.reaped, waiting.reaped, under_way.reaped, held.reaped) as reaped,
       coalesce(done.worker, held.worker) as worker, job.created_at, ready.scheduled_for,
       held.claimed_at, done.started_at, done.completed_at, done.duration_ms, done.result,
       done.error,
       array(select label from trioworker.job_label as given where given.id = asked.id order by label)
           as labels,
       case when done.id is not null or ready.id is not null then null
            when under_way.id is not null then 'steps'
            when waiting.reason = 'limit' then 'slot'
            else waiting.reason end as waits_for,
       case when jsonb_typeof(job.options -> 'step') = 'object' then job.parent end as flow,
       job.options #>> '{step,at}' as step,
       told.fraction as progress, told.note, told.told_at
  from unnest($1::uuid[]) with ordinality as asked (id, place)
  cross join lateral (
    select * from trioworker.job where job.id = asked.id offset 0
  ) as job
  left join lateral (
    select * from trioworker.job_completed as done where done.id = asked.id offset 0
  ) as done on true
  left join lateral (
    select * from trioworker.ready where ready.id = asked.id offset 0
  ) as ready on true
  left join lateral (
    select * from trioworker.waiting where waiting.id = asked.id offset 0
  ) as waiting on true
  left join lateral (
    select * from trioworker.flow_state as state where state.id = asked.id offset 0
  ) as under_way on true
  left join lateral (
    select claim.worker, claim.claimed_at,
           claim.attempts[array_position(claim.ids, asked.id)] as attempt,
           claim.reaped[array_position(claim.ids, asked.id)] as reaped
      from trioworker.claim
     where done.id is null and ready.id is null and waiting.id is null
       and under_way.id is null and asked.id = any (claim.ids)
     limit 1
  ) as held on true
  left join lateral (
    select * from trioworker.job_progress as told where told.id = asked.id offset 0
  ) as told on told.attempt = coalesce(done.attempt, ready.attempt, waiting.attempt, under_way.attempt,
                             held.attempt)
 order by asked.place
