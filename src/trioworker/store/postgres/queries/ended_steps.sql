-- name: ended_steps
-- rows: many
-- does: how those of the jobs $1 ended that have, with their results, in id order
-- locks: nothing
select done.id, done.status, done.result
  from unnest($1::uuid[]) as asked (id)
 cross join lateral (
    select * from trioworker.job_completed as done where done.id = asked.id offset 0
  ) as done
 order by done.id
