-- name: record_migration
-- rows: many
-- does: notes that migration $1, named $2, is applied; no row when it was already
-- locks: only the row that it inserts
insert into trioworker.migration (number, name) values ($1, $2)
    on conflict (number) do nothing
returning number
