-- name: job_origins
-- rows: many
-- does: which job each of the jobs $1 belongs to, and who enqueued it
-- locks: nothing
select id, parent, created_by from trioworker.job where id = any ($1::uuid[])
