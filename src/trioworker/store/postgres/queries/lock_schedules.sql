-- name: lock_schedules
-- rows: many
-- does: how far the schedules $1 have come, for whoever decides what is next
-- locks: those schedules' rows, in name order
select name, definition, paused, last_tick, pending, decided_until, look_at, failures, problem,
       now() as now
  from trioworker.schedule
 where name = any ($1::text[])
 order by name for update
