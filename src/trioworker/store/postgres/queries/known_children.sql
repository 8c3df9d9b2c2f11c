-- name: known_children
-- rows: many
-- does: of the jobs $1, which exist: are they what is asked for ($2 parents, kinds, paths, $5 args)?
-- locks: nothing
--
-- And whether they have failed or were canceled before the try that asks began: then it may have them
-- run again.
select asked.id,
       coalesce(job.parent = asked.parent and job.kind = asked.kind and job.path = asked.path
                and job.args = asked.args::jsonb, false) as same,
       coalesce(done.status in ('failure', 'canceled') and done.completed_at < parent.since, false)
           as again
  from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[])
       as asked (id, parent, kind, path, args)
  cross join lateral (
    select * from trioworker.job where job.id = asked.id offset 0
  ) as job
  left join lateral (
    select * from trioworker.job_completed as done where done.id = asked.id offset 0
  ) as done on true
  left join lateral (
    select * from trioworker.parent where parent.id = asked.parent offset 0
  ) as parent on true
