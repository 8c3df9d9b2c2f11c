-- name: lock_migrations
-- rows: none
-- does: lets one process at a time migrate
-- locks: an advisory lock until the end of the transaction
select pg_advisory_xact_lock(hashtext('trioworker migrations'))
