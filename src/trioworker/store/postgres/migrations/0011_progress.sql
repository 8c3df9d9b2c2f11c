-- 0011: how far jobs have come, as their newest attempts have told. A row is written over again and
-- again while its job runs: there is room for that in its page, and no index besides the key.
create table trioworker.job_progress (
    id       uuid        primary key,
    attempt  integer     not null,
    fraction float8      not null check (fraction between 0 and 1),
    note     text        not null check (octet_length(note) <= 500),
    told_at  timestamptz not null default now()
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
comment on table trioworker.job_progress is 'What a job has told last of its progress, by the attempt that told it.';
