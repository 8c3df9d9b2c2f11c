-- 0005: the history has attempts that were lost with their worker: nobody knows when they began.
alter table trioworker.job_attempt alter column started_at drop not null;
alter table trioworker.job_attempt alter column duration_ms drop not null;
comment on table trioworker.job_attempt is 'Attempts that failed, or were lost with their worker, and were followed by another; the last one is in job_completed.';
