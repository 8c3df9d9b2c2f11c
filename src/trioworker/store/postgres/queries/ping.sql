-- name: ping
-- rows: one
-- does: shows that the server answers and takes writes
-- locks: nothing
select not pg_is_in_recovery() as writable
