-- name: read_flows
-- rows: many
-- does: how far the flows $1 are, with what they are and were asked; those under way, in id order
-- locks: nothing; run it under the locks of their outermost flows
--
-- A definition that several of them have comes with the first of them alone.
select state.id, state.root, state.path, state.version, state.state, state.attempt, state.reaped,
       state.worker, job.args, job.tag, job.priority,
       case when row_number() over (partition by state.path, state.version order by state.id) = 1
            then flow.definition end as definition
  from unnest($1::uuid[]) as asked (id)
 cross join lateral (
    select * from trioworker.flow_state as found where found.id = asked.id offset 0
  ) as state
 cross join lateral (
    select job.args, job.tag, job.priority from trioworker.job where job.id = asked.id offset 0
  ) as job
  left join lateral (
    select flow.definition from trioworker.flow
     where flow.path = state.path and flow.version = state.version offset 0
  ) as flow on true
 order by state.id
