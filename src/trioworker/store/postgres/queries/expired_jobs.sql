-- name: expired_jobs
-- rows: many
-- does: locks up to $1 ended jobs whose time has come, to be deleted; their ids
-- locks: their rows in job_completed, in id order (skip locked)
--
-- A job that was re-queued has no row in expiry any more; one that SQL by hand has left there, of a
-- job that has not ended, is dropped. What a job that has not ended may still ask for stays until it
-- has: the results of a flow's steps, or of its children.
with due as materialized (
    select expiry.id from trioworker.expiry
     where at <= now()
       and not exists (
           select from trioworker.job
            where job.id = expiry.id
              and exists (select from trioworker.job as above where above.id = job.parent offset 0)
              and not exists (
                  select from trioworker.job_completed as ended where ended.id = job.parent offset 0
              )
           offset 0
       )
     order by at limit $1
),
stray as (
    delete from trioworker.expiry
     where id = any (array(
           select due.id from due
            where not exists (
                  select from trioworker.job_completed as done where done.id = due.id offset 0
            )
     ))
)
select done.id from trioworker.job_completed as done
 where done.id = any (array(select due.id from due)) order by done.id for update skip locked
