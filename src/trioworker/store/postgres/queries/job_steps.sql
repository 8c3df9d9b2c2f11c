-- name: job_steps
-- rows: many
-- does: the steps of job $1 whose results are stored, oldest first
-- locks: nothing
select name, result, at from trioworker.job_step where job = $1 order by at, name
