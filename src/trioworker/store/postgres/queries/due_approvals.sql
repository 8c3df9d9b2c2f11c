-- name: due_approvals
-- rows: many
-- does: up to $1 approvals whose time has run out, the oldest first, and how often each was approved
-- locks: nothing
select due.id, job.options, (
           select count(*) from trioworker.decision where decision.job = due.id
       ) as approved
  from (
    select waiting.id, waiting.until from trioworker.waiting
     where waiting.until <= now() and waiting.reason = 'approval' and waiting.key is null
     order by waiting.until, waiting.id
     limit $1
  ) as due
 cross join lateral (
    select job.options from trioworker.job where job.id = due.id offset 0
  ) as job
 order by due.until, due.id
