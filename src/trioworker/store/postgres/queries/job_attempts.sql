-- name: job_attempts
-- rows: many
-- does: the failed attempts of job $1 that another followed; one row of nulls without any, none when unknown
-- locks: nothing
select failed.attempt, failed.error, failed.worker, failed.started_at, failed.duration_ms
  from trioworker.job left join trioworker.job_attempt as failed using (id)
 where job.id = $1
 order by failed.attempt
