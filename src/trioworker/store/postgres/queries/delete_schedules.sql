-- name: delete_schedules
-- rows: none
-- does: deletes the schedules $1
-- locks: those schedules' rows, which the transaction has locked already
delete from trioworker.schedule where name = any ($1::text[])
