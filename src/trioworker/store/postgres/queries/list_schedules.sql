-- name: list_schedules
-- rows: many
-- does: up to $2 schedules in name order, only those named $1 unless null, as lock_schedules does
-- locks: nothing
select name, definition, paused, last_tick, pending, decided_until, look_at, failures, problem,
       now() as now
  from trioworker.schedule
 where $1::text[] is null or name = any ($1)
 order by name
 limit $2
