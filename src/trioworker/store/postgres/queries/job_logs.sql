-- name: job_logs
-- rows: many
-- does: what job $1 wrote, by attempt; one row of nulls when it wrote nothing, none when unknown
-- locks: nothing
select log.attempt, string_agg(log.text, '' order by log.chunk) as text
  from trioworker.job left join trioworker.job_log as log using (id)
 where job.id = $1
 group by log.attempt
 order by log.attempt
