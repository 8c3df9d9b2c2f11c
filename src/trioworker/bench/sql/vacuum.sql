vacuum (analyze) trioworker.job, trioworker.ready, trioworker.claim, trioworker.job_completed
