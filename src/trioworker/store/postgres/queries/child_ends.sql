-- name: child_ends
-- rows: many
-- does: how those of the jobs $1 have ended that have; what does not exist any more is 'gone'
-- locks: nothing
select asked.id, coalesce(done.status, 'gone') as status, done.result, done.error
  from unnest($1::uuid[]) as asked (id)
  left join lateral (
    select * from trioworker.job_completed as done where done.id = asked.id offset 0
  ) as done on true
 where done.id is not null
    or not exists (select from trioworker.job where job.id = asked.id offset 0)
