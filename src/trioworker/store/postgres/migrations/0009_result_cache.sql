-- 0009: results that equal jobs may take over. Which jobs are equal is the worker's to say: their key
-- is a digest of kind, path and arguments.
create table trioworker.result_cache (
    key        text        primary key check (octet_length(key) between 1 and 200),
    job        uuid        not null,
    result     jsonb       not null,
    stored_at  timestamptz not null default now(),
    expires_at timestamptz not null
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
create index result_cache_expiry on trioworker.result_cache (expires_at);
comment on table trioworker.result_cache is 'The newest result of jobs that let equal ones take it, until the last of them asks it to be no older.';
