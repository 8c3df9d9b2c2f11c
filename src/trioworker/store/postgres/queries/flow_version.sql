-- name: flow_version
-- rows: many
-- does: which version of its flow the job $1 runs; no row unless it is under way
-- locks: nothing
select version from trioworker.flow_state where id = $1
