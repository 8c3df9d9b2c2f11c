-- name: retire_worker
-- rows: none
-- does: notes that worker $1 stopped of its own will; what it still claims may be reaped at once
-- locks: the worker's own row
update trioworker.worker set stopped_at = now(), jobs_running = 0 where id = $1
