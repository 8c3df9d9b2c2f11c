-- name: read_approval
-- rows: many
-- does: what the approval $1 asks for, and what has been decided so far, in order
-- locks: its row in waiting
with asked as materialized (
    select waiting.id, waiting.until <= now() as over from trioworker.waiting
     where waiting.id = $1::uuid and waiting.reason = 'approval' for update
)
select job.options, asked.over, said.by, said.approved, said.form
  from asked
 cross join lateral (select options from trioworker.job where job.id = asked.id offset 0) as job
  left join lateral (
    select * from trioworker.decision where decision.job = asked.id offset 0
  ) as said on true
 order by said.decided_at, said.by
