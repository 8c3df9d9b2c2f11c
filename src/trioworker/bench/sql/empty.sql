truncate trioworker.job, trioworker.ready, trioworker.claim, trioworker.job_completed,
         trioworker.job_log
