-- name: flow_drift
-- rows: many
-- does: up to $1 flows that stand still for ever, as it looks: what is wrong, path, job, outermost flow
-- locks: nothing
--
-- One statement, so that all is seen as it stood at one moment: no step is on its way meanwhile.
select wrong.what, state.path, state.id, state.root
  from trioworker.flow_state as state
 cross join lateral (
    select 'a flow whose outermost flow is gone' as what
     where not exists (
           select from trioworker.flow_state as root where root.id = state.root offset 0
     )
    union all
    select 'a flow that stands still without a step to wait for'
     where not exists (
           select from trioworker.job as step
            where step.parent = state.id and step.options ? 'step'
              and not exists (
                  select from trioworker.job_completed as done where done.id = step.id offset 0
              )
     )
  ) as wrong
 order by wrong.what, state.id
 limit $1
