-- 0003: what did not succeed is what people look for, and it may be one in a million. A success
-- costs this index nothing.
create index job_completed_unsuccessful on trioworker.job_completed (id)
    where status <> 'success';
