-- name: approval_states
-- rows: many
-- does: what those of the jobs $1 ask for that wait for approval, in id order, and each decision so far
-- locks: nothing
select waiting.id, job.parent, above.path, job.options, waiting.since, waiting.until,
       said.by, said.approved, said.form, said.decided_at
  from unnest($1::uuid[]) as asked (id)
 cross join lateral (
    select * from trioworker.waiting
     where waiting.id = asked.id and waiting.reason = 'approval' offset 0
  ) as waiting
 cross join lateral (
    select * from trioworker.job where job.id = asked.id offset 0
  ) as job
  left join lateral (
    select flow.path from trioworker.job as flow where flow.id = job.parent offset 0
  ) as above on true
  left join lateral (
    select * from trioworker.decision where decision.job = asked.id offset 0
  ) as said on true
 order by waiting.id, said.decided_at, said.by
