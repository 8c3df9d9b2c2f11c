-- name: read_lost_flows
-- rows: many
-- does: the flows in the outermost flows $1 that share one of the workers $2, all of which are gone, in id order
-- locks: nothing; run it under the locks of the outermost flows
--
-- With what their jobs asked for, whether they are to be begun anew, and whether their worker was
-- lost: one that has stopped counts for nothing.
select state.id, state.state, state.attempt, state.reaped, job.options,
       coalesce(flow.definition ->> 'on_worker_lost' = 'restart', false) as begins_anew,
       known.stopped_at is null or known.lost_at is not null as lost
  from unnest($2::uuid[]) as gone (id)
 cross join lateral (
    select * from trioworker.flow_state as found
     where found.worker = gone.id and found.root = any ($1::uuid[]) offset 0
  ) as state
  left join lateral (
    select worker.lost_at, worker.stopped_at from trioworker.worker
     where worker.id = state.worker offset 0
  ) as known on true
 cross join lateral (
    select job.options from trioworker.job where job.id = state.id offset 0
  ) as job
  left join lateral (
    select flow.definition from trioworker.flow
     where flow.path = state.path and flow.version = state.version offset 0
  ) as flow on true
 order by state.id
