-- name: hooked_jobs
-- rows: many
-- does: what was asked of those of the ended jobs $1 that asked for more than to be run, in id order
-- locks: nothing
select job.id, job.kind, job.path, job.args, job.tag, job.priority, job.options, job.awaited,
       done.attempt, done.reaped
  from trioworker.job cross join lateral (
    select attempt, reaped from trioworker.job_completed as done where done.id = job.id offset 0
  ) as done
 where job.id = any ($1::uuid[]) and job.options is not null
 order by job.id
