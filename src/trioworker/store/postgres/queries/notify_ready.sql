-- name: notify_ready
-- rows: none
-- does: hints to idle workers that jobs with the tags $1, each given once, are ready
-- locks: the database-wide NOTIFY lock, at commit: once per transaction and tag
select pg_notify('trioworker_ready', tag) from unnest($1::text[]) as hint (tag)
