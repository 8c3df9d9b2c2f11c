-- name: hooked_jobs
-- rows: many
-- does: what was asked of those of the jobs $1 that asked for more than to be run
-- locks: nothing
select id, kind, path, args, tag, priority, options, awaited from trioworker.job
 where id = any ($1::uuid[]) and options is not null
