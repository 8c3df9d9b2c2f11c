-- 0006: schedules. What is said about one is JSON, as the options of a job are; how far it has come
-- stands in columns. Whoever lets a tick become a job holds the row, in the transaction that makes
-- the job.
create table trioworker.schedule (
    name          text        primary key check (octet_length(name) between 1 and 200),
    definition    jsonb       not null check (jsonb_typeof(definition) = 'object'),
    paused        boolean     not null default false,
    last_tick     timestamptz,
    pending       uuid,
    decided_until timestamptz not null default now(),
    look_at       timestamptz default now(),
    failures      integer     not null default 0 check (failures >= 0),
    problem       text,
    created_at    timestamptz not null default now()
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
create index schedule_look on trioworker.schedule (look_at) where look_at is not null;
comment on table trioworker.schedule is 'What is enqueued again and again, and up to which tick it has been.';
