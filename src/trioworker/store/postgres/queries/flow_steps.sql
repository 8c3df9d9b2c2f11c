-- name: flow_steps
-- rows: many
-- does: the newest $2 steps of the flow's job $1, newest first, and at which place of it each one is
-- locks: nothing
select job.id, job.options #>> '{step,at}' as at from trioworker.job
 where job.parent = $1::uuid and job.options #>> '{step,flow}' = ($1::uuid)::text
 order by job.id desc
 limit $2
