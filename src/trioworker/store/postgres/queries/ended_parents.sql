-- name: ended_parents
-- rows: many
-- does: up to $1 jobs that have had children and have ended, and whether that was without success
-- locks: their rows in parent (skip locked); then in job_completed, so that no retry comes between
with ended as materialized (
    select parent.id from trioworker.parent
     where exists (
           select from trioworker.job_completed as done where done.id = parent.id offset 0
       )
        or not exists (select from trioworker.job where job.id = parent.id offset 0)
     order by parent.id
     limit $1 for update of parent skip locked
),
over as materialized (
    select done.id, done.status from trioworker.job_completed as done
     where done.id = any (array(select ended.id from ended))
     order by done.id for update
)
select ended.id, coalesce(over.status in ('failure', 'canceled'), false) as failed
  from ended left join over using (id)
