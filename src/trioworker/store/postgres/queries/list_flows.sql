-- name: list_flows
-- rows: many
-- does: the first $1 flows in path order: newest version, how many there are, when it came, runs under way
-- locks: nothing
select newest.path, newest.version, newest.versions, flow.created_at, flow.created_by,
       coalesce(begun.runs, 0) as runs
  from (
    select path, max(version) as version, count(*)::integer as versions from trioworker.flow
     group by path order by path limit $1
  ) as newest
  join trioworker.flow using (path, version)
  left join (
    select state.path, count(*)::integer as runs from trioworker.flow_state as state
     group by state.path
  ) as begun using (path)
 order by newest.path
