-- 0001: the queue itself. A job stands in exactly one of ready, waiting, one claim's ids, or
-- job_completed. No foreign keys between the hot tables: their cascades cost more than the work
-- itself; `trioworker doctor` and the simulator hold what they would have held.

create table trioworker.job (
    id         uuid        primary key,
    kind       text        not null check (kind in ('function', 'script', 'noop', 'identity')),
    path       text        not null check (octet_length(path) between 1 and 1000),
    args       jsonb       not null,
    tag        text        not null check (octet_length(tag) between 1 and 120),
    priority   smallint    not null default 0 check (priority between -1000 and 1000),
    options    jsonb check (jsonb_typeof(options) = 'object'),
    awaited    boolean     not null default false,
    created_at timestamptz not null default now(),
    created_by text        not null default ''
);
comment on table trioworker.job is 'What was asked, immutable; kept beside the completion until retention takes both.';

-- Rows live for milliseconds under load: vacuum must be quick to come and must not rest.
create table trioworker.ready (
    id            uuid        primary key,
    tag           text        not null,
    priority      smallint    not null,
    scheduled_for timestamptz not null,
    attempt       integer     not null default 1 check (attempt >= 1),
    reaped        smallint    not null default 0 check (reaped >= 0)
) with (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_insert_scale_factor = 0.2, autovacuum_analyze_scale_factor = 0.2,
    autovacuum_vacuum_cost_delay = 0
);
create index ready_pull on trioworker.ready (tag, priority desc, scheduled_for, id);
comment on table trioworker.ready is 'May be pulled now or when due.';

create table trioworker.waiting (
    id      uuid        primary key,
    reason  text        not null,
    until   timestamptz,
    attempt integer     not null default 1 check (attempt >= 1),
    reaped  smallint    not null default 0 check (reaped >= 0),
    since   timestamptz not null default now()
);
comment on table trioworker.waiting is 'May not be pulled yet; reason says what ends it.';

-- The arrays are random bytes to a compressor and rarely fit a page: store them aside, as they are.
create table trioworker.claim (
    id         uuid        primary key,
    worker     uuid        not null,
    ids        uuid[]      not null,
    attempts   integer[]   not null,
    reaped     smallint[]  not null,
    claimed_at timestamptz not null default now(),
    check (cardinality(ids) > 0),
    check (cardinality(ids) = cardinality(attempts) and cardinality(ids) = cardinality(reaped))
) with (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200,
    autovacuum_vacuum_cost_delay = 0
);
alter table trioworker.claim alter column ids set storage external;
alter table trioworker.claim alter column attempts set storage external;
alter table trioworker.claim alter column reaped set storage external;
create index claim_worker on trioworker.claim (worker);
comment on table trioworker.claim is 'One row per batch: what one pull took for one worker. Lease unit and fence at once.';

create table trioworker.job_completed (
    id           uuid        primary key,
    status       text        not null check (status in ('success', 'failure', 'canceled', 'skipped')),
    result       jsonb,
    error        jsonb,
    worker       uuid,
    attempt      integer     not null,
    reaped       smallint    not null default 0,
    started_at   timestamptz,
    completed_at timestamptz not null default now(),
    duration_ms  integer
);
create index job_completed_at on trioworker.job_completed using brin (completed_at);
comment on table trioworker.job_completed is 'What is finished, once per job.';

create table trioworker.job_log (
    id      uuid    not null,
    attempt integer not null,
    chunk   integer not null,
    text    text    not null,
    primary key (id, attempt, chunk)
);
comment on table trioworker.job_log is 'Bounded text that jobs wrote, per attempt.';

create table trioworker.worker (
    id             uuid        primary key,
    name           text        not null,
    host           text        not null,
    pid            integer     not null,
    mode           text        not null,
    tags           text[]      not null,
    lease_s        real        not null check (lease_s > 0),
    started_at     timestamptz not null default now(),
    last_heartbeat timestamptz not null default now(),
    lost_at        timestamptz,
    stopped_at     timestamptz,
    jobs_done      bigint      not null default 0,
    jobs_failed    bigint      not null default 0,
    jobs_running   integer     not null default 0
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
comment on table trioworker.worker is 'One row per worker process; it outlives the claims, so that none is orphaned.';

create table trioworker.cancel_request (
    id           uuid        primary key,
    reason       text        not null,
    requested_at timestamptz not null default now()
);
comment on table trioworker.cancel_request is 'Running jobs that somebody wants stopped; the worker reads it with its heartbeat.';
