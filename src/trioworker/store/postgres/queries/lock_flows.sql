-- name: lock_flows
-- rows: many
-- does: locks those of the outermost flows $1 that are under way, and all that is nested in them
-- locks: their rows in flow_state, in id order
--
-- Who moves a flow holds the row of the outermost one: so no two of a family are ever wanted crosswise.
select id from trioworker.flow_state where id = any ($1::uuid[]) order by id for update
