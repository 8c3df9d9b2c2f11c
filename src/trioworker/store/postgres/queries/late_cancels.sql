-- name: late_cancels
-- rows: many
-- does: up to $1 jobs that somebody wanted canceled and no worker holds, and why
-- locks: nothing
--
-- Whoever asked found them in the hands of a worker, which gave them back as it was told, or died; or
-- they are flows, and began at that very moment.
select request.id, request.reason
  from trioworker.cancel_request as request
  left join lateral (
    select * from trioworker.ready where ready.id = request.id offset 0
  ) as ready on true
  left join lateral (
    select * from trioworker.waiting where waiting.id = request.id offset 0
  ) as waiting on true
  left join lateral (
    select * from trioworker.flow_state as state where state.id = request.id offset 0
  ) as under_way on true
 where ready.id is not null or waiting.id is not null or under_way.id is not null
 order by request.id
 limit $1
