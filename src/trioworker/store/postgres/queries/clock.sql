-- name: clock
-- rows: one
-- does: the time by the database's clock, the only one that due times are compared with
-- locks: nothing
select clock_timestamp() as now
