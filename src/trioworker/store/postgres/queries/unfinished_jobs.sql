-- name: unfinished_jobs
-- rows: many
-- does: which of the jobs $1 exist and have not ended
-- locks: nothing
select job.id from trioworker.job
 where job.id = any ($1::uuid[])
   and not exists (
       select from trioworker.job_completed as done where done.id = job.id offset 0
   )
