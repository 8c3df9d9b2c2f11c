-- name: notify_done
-- rows: none
-- does: tells those who wait for the jobs $1 that these are done
-- locks: the database-wide NOTIFY lock, at commit: sent only where somebody waits
select pg_notify('trioworker_done', id::text) from unnest($1::uuid[]) as done (id)
