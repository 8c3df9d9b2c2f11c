-- name: cancelled_flows
-- rows: many
-- does: up to $1 flows under way that somebody wanted canceled at the moment when they began, and why
-- locks: nothing
select under_way.id, request.reason
  from trioworker.cancel_request as request
 cross join lateral (
    select state.id from trioworker.flow_state as state where state.id = request.id offset 0
  ) as under_way
 order by under_way.id
 limit $1
