-- name: heartbeat
-- rows: many
-- does: renews the lease of worker $1 and notes its counters ($2 done, $3 failed, $4 running)
-- locks: the worker's own row
update trioworker.worker
   set last_heartbeat = clock_timestamp(), jobs_done = $2, jobs_failed = $3, jobs_running = $4
 where id = $1 and lost_at is null
returning id
