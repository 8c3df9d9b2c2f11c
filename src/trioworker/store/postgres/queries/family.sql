-- name: family
-- rows: many
-- does: up to $2 of the unfinished among the jobs $1 and all below them, parents before their children
-- locks: nothing
--
-- A family that is a ring, which only SQL by hand can make, is walked once.
with recursive member (id) as (
    select asked.id from unnest($1::uuid[]) as asked (id)
    union
    select child.id from member cross join lateral (
        select job.id from trioworker.job where job.parent = member.id offset 0
    ) as child
)
select member.id from member
 where not exists (
    select from trioworker.job_completed as done where done.id = member.id offset 0
 )
 limit $2
