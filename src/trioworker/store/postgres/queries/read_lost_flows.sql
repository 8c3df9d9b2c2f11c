-- name: read_lost_flows
-- rows: many
-- does: the flows in the outermost flows $1 whose workers are gone, with nothing in their hands, in id order
-- locks: nothing; run it under the locks of the outermost flows
--
-- With what their jobs asked for, whether they are to be begun anew, and whether their worker was
-- lost: one that has stopped counts for nothing.
select state.id, state.state, state.attempt, state.reaped, job.options,
       coalesce(flow.definition ->> 'on_worker_lost' = 'restart', false) as begins_anew,
       worker.stopped_at is null or worker.lost_at is not null as lost
  from trioworker.flow_state as state
  left join trioworker.worker on worker.id = state.worker
 cross join lateral (
    select job.options from trioworker.job where job.id = state.id offset 0
  ) as job
  left join lateral (
    select flow.definition from trioworker.flow
     where flow.path = state.path and flow.version = state.version offset 0
  ) as flow on true
 where state.root = any ($1::uuid[]) and state.worker is not null
   and (worker.id is null or worker.lost_at is not null or worker.stopped_at is not null)
   and not exists (select from trioworker.claim where claim.worker = state.worker)
 order by state.id
