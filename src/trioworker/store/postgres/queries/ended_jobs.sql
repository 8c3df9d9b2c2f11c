-- name: ended_jobs
-- rows: many
-- does: which of the jobs $1 have ended
-- locks: nothing
select done.id from trioworker.job_completed as done where done.id = any ($1::uuid[])
