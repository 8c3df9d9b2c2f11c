-- name: delete_expired
-- rows: many
-- does: deletes everything about up to $1 ended jobs whose time has come; their ids
-- locks: their rows in job_completed (skip locked), then all others of those jobs
--
-- A job that was re-queued has no row in expiry any more; one that SQL by hand has left there, of a
-- job that has not ended, is dropped.
with due as materialized (
    select expiry.id from trioworker.expiry where at <= now() order by at limit $1
),
taken as materialized (
    select done.id from trioworker.job_completed as done
     where done.id = any (array(select due.id from due)) order by done.id for update skip locked
),
stray as (
    delete from trioworker.expiry
     where id = any (array(
           select due.id from due
            where not exists (
                  select from trioworker.job_completed as done where done.id = due.id offset 0
            )
     ))
),
completions as (
    delete from trioworker.job_completed where id = any (array(select taken.id from taken))
),
expiries as (
    delete from trioworker.expiry where id = any (array(select taken.id from taken))
),
labels as (
    delete from trioworker.job_label where id = any (array(select taken.id from taken))
),
logs as (
    delete from trioworker.job_log where id = any (array(select taken.id from taken))
),
attempts as (
    delete from trioworker.job_attempt where id = any (array(select taken.id from taken))
),
jobs as (
    delete from trioworker.job where id = any (array(select taken.id from taken))
)
select taken.id from taken
