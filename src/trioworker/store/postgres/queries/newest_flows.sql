-- name: newest_flows
-- rows: many
-- does: the newest version of each of the flows $1, of those that there are
-- locks: nothing
select wanted.path, newest.version, newest.definition
  from unnest($1::text[]) as wanted (path)
 cross join lateral (
    select flow.version, flow.definition from trioworker.flow
     where flow.path = wanted.path order by flow.version desc limit 1
  ) as newest
 order by wanted.path
