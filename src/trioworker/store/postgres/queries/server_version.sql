-- name: server_version
-- rows: one
-- does: which PostgreSQL this is, for people and reports
-- locks: nothing
select current_setting('server_version') as version
