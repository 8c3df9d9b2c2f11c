-- name: store_schedules
-- rows: none
-- does: stores how far the schedules $1 have come ($3..$9), and their definitions $2 unless null
-- locks: those schedules' rows, which the transaction has locked already
--
-- They are named twice, or the planner may read all schedules there are.
update trioworker.schedule
   set definition = coalesce(new.definition::jsonb, schedule.definition),
       paused = new.paused, last_tick = new.last_tick, pending = new.pending,
       decided_until = new.decided_until, look_at = new.look_at, failures = new.failures,
       problem = new.problem
  from unnest($1::text[], $2::text[], $3::boolean[], $4::timestamptz[], $5::uuid[],
              $6::timestamptz[], $7::timestamptz[], $8::integer[], $9::text[])
       as new (name, definition, paused, last_tick, pending, decided_until, look_at, failures,
               problem)
 where schedule.name = new.name and schedule.name = any ($1)
