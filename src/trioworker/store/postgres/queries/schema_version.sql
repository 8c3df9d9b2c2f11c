-- name: schema_version
-- rows: one
-- does: the number of the last migration that was applied
-- locks: nothing
select coalesce(max(number), 0) as number from trioworker.migration
