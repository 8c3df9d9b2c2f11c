-- name: due_schedules
-- rows: many
-- does: up to $1 schedules that are due and wait for no unfinished job, as lock_schedules gives them
-- locks: those schedules' rows (skip locked)
--
-- Whether a job is unfinished is asked again in a later statement: a row that has just been changed
-- may be pending for a job that this one does not see yet.
select name, definition, paused, last_tick, pending, decided_until, look_at, failures, problem,
       now() as now
  from trioworker.schedule
 where look_at <= now()
   and (
       pending is null
       or not exists (select from trioworker.job where job.id = schedule.pending offset 0)
       or exists (
           select from trioworker.job_completed as done where done.id = schedule.pending offset 0
       )
   )
 order by look_at, name
 limit $1 for update skip locked
