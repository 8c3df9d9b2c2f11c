-- name: expired_jobs
-- rows: many
-- does: locks up to $1 ended jobs whose time has come, to be deleted; their ids
-- locks: their rows in job_completed, in id order (skip locked)
--
-- A job that was re-queued has no row in expiry any more; one that SQL by hand has left there, of a
-- job that has not ended, is dropped.
with due as materialized (
    select expiry.id from trioworker.expiry where at <= now() order by at limit $1
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
