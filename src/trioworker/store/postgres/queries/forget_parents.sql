-- name: forget_parents
-- rows: none
-- does: forgets that the jobs $1 have had children
-- locks: those rows
delete from trioworker.parent where id = any ($1::uuid[])
