-- name: children
-- rows: many
-- does: up to $2 of the jobs whose parent is $1, oldest first
-- locks: nothing
select job.id from trioworker.job where job.parent = $1 order by job.id limit $2
