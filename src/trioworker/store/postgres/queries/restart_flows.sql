-- name: restart_flows
-- rows: many
-- does: makes the flows $1 ready, to be begun anew; $2 says of each whether it has lost a worker with that
-- locks: their rows in flow_state, under the locks of their outermost flows
with gone as (
    delete from trioworker.flow_state where id = any ($1::uuid[])
    returning id, attempt, reaped, worker, began_at
),
remembered as (
    insert into trioworker.job_attempt (id, attempt, error, worker, started_at)
    select id, attempt, jsonb_build_object(
               'name', 'WorkerLost', 'message', 'the worker that ran all steps of this flow is lost'
           ), worker, began_at
      from gone
        on conflict (id, attempt) do nothing
)
insert into trioworker.ready (id, tag, priority, scheduled_for, attempt, reaped)
select gone.id, job.tag, job.priority, now(), gone.attempt + 1, gone.reaped + again.lost::integer
  from gone join unnest($1::uuid[], $2::boolean[]) as again (id, lost) using (id)
 cross join lateral (
    select job.tag, job.priority from trioworker.job where job.id = gone.id offset 0
  ) as job
returning id
