-- name: job_logs
-- rows: many
-- does: what job $1 wrote, by attempt
-- locks: nothing
select attempt, text from trioworker.job_log where id = $1 order by attempt, chunk
