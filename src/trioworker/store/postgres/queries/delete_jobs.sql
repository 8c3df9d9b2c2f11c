-- name: delete_jobs
-- rows: none
-- does: deletes everything about the ended jobs $1, which this transaction has locked
-- locks: the rows that it deletes
with completions as (
    delete from trioworker.job_completed where id = any ($1::uuid[])
),
expiries as (
    delete from trioworker.expiry where id = any ($1)
),
labels as (
    delete from trioworker.job_label where id = any ($1)
),
made as (
    delete from trioworker.job_preprocessed where id = any ($1)
),
told as (
    delete from trioworker.job_progress where id = any ($1)
),
decisions as (
    delete from trioworker.decision where job = any ($1)
),
logs as (
    delete from trioworker.job_log where id = any ($1)
),
attempts as (
    delete from trioworker.job_attempt where id = any ($1)
),
steps as (
    delete from trioworker.job_step where job = any ($1)
)
delete from trioworker.job where id = any ($1)
