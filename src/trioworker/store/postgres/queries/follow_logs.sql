-- name: follow_logs
-- rows: many
-- does: whether job $1 has ended, with each piece that it wrote from piece $3 of attempt $2 on
-- locks: nothing
--
-- One row of nulls when there is no such piece, no row when there is no such job.
select done.id is not null as ended, log.attempt, log.chunk, log.text
  from trioworker.job
  left join trioworker.job_completed as done on done.id = job.id
  left join trioworker.job_log as log
    on log.id = job.id and (log.attempt, log.chunk) >= ($2, $3)
 where job.id = $1
 order by log.attempt, log.chunk
