-- 0004: jobs that belong to another one, and a history of the attempts that failed.
alter table trioworker.job add column parent uuid;
create index job_parent on trioworker.job (parent) where parent is not null;

create table trioworker.job_attempt (
    id          uuid        not null,
    attempt     integer     not null,
    error       jsonb       not null,
    worker      uuid,
    started_at  timestamptz,
    duration_ms integer,
    primary key (id, attempt)
);
comment on table trioworker.job_attempt is 'Attempts that failed, or were lost with their worker, and were followed by another; the last one is in job_completed.';
