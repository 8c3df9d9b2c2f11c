-- 0014: flows. A job that is a flow stands in flow_state while its steps are run: no worker holds it.
alter table trioworker.job drop constraint job_kind_check;
alter table trioworker.job add constraint job_kind_check
    check (kind in ('function', 'script', 'noop', 'identity', 'flow', 'approval'));

create table trioworker.flow (
    path       text        not null check (octet_length(path) between 1 and 1000),
    version    integer     not null check (version >= 1),
    definition jsonb       not null,
    created_at timestamptz not null default now(),
    created_by text        not null default '',
    primary key (path, version)
);
comment on table trioworker.flow is 'Definitions of flows; a run keeps to the version that was the newest when it began.';

-- The state is written at each end of a step and is small: what steps returned stands elsewhere.
create table trioworker.flow_state (
    id       uuid        primary key,
    root     uuid        not null,
    path     text        not null,
    version  integer     not null,
    state    jsonb       not null,
    attempt  integer     not null check (attempt >= 1),
    reaped   smallint    not null check (reaped >= 0),
    worker   uuid,
    began_at timestamptz not null default now()
) with (
    fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0
);
comment on table trioworker.flow_state is 'Flows under way, and how far they are. Who moves one holds the row of its root, the outermost. worker is the one that runs all steps, if one is to.';

create table trioworker.decision (
    job        uuid        not null,
    by         text        not null check (octet_length(by) between 1 and 200),
    approved   boolean     not null,
    form       jsonb       not null,
    decided_at timestamptz not null default now(),
    primary key (job, by)
);
comment on table trioworker.decision is 'What people have said of approvals, each of them once.';

-- What waits for no slot waits for a decision.
create index waiting_undecided on trioworker.waiting (until, id) where key is null;
