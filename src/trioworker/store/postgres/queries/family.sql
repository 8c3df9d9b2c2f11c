-- name: family
-- rows: many
-- does: up to $2 of the unfinished among the jobs $1 and all below them, parents before their children
-- locks: nothing
--
-- With the schedule that each of them is of. A family that is a ring, which only SQL by hand can make,
-- is walked once.
with recursive member (id) as (
    select asked.id from unnest($1::uuid[]) as asked (id)
    union
    select child.id from member cross join lateral (
        select job.id from trioworker.job where job.parent = member.id offset 0
    ) as child
)
select member.id, asked.schedule
  from member left join lateral (
    select job.options ->> 'schedule' as schedule from trioworker.job
     where job.id = member.id offset 0
  ) as asked on true
 where not exists (
    select from trioworker.job_completed as done where done.id = member.id offset 0
 )
 limit $2
