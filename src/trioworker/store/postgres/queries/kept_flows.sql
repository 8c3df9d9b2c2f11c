-- name: kept_flows
-- rows: many
-- does: those of the flows $2 that are under way and keep to worker $1
-- locks: nothing
select id from trioworker.flow_state where id = any ($2::uuid[]) and worker = $1
