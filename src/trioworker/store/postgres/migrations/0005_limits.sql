-- 0005: limits on how many jobs with the same key run at a time. A job over its limit stands in
-- waiting and costs a pull nothing; one that may run holds a slot, from the move to ready until
-- its end. Slots are counted, never added up: there is no counter that could drift.

-- A limit that cannot be read would be found by the worker that looks for a slot, again and again.
alter table trioworker.job add constraint job_limit_check check (
    case when jsonb_typeof(options -> 'limit') = 'object' then
        case when options #>> '{limit,slots}' ~ '^[1-9][0-9]{0,9}$'
             then (options #>> '{limit,slots}')::bigint <= 2147483647 else false end
        and case jsonb_typeof(options #> '{limit,window_s}')
                when 'number' then (options #>> '{limit,window_s}')::numeric > 0
                               and (options #>> '{limit,window_s}')::numeric <= 1000000000
                when 'null' then true
                else not (options -> 'limit') ? 'window_s' end
        and octet_length(coalesce(options #>> '{limit,key}', '')) <= 1000
    else true end
);

alter table trioworker.waiting
    add column key           text,
    add column priority      smallint,
    add column scheduled_for timestamptz,
    add column fresh         boolean not null default false,
    add constraint waiting_turn_check
        check (key is null or (priority is not null and scheduled_for is not null));
create index waiting_turn on trioworker.waiting (key, priority desc, scheduled_for, id)
    where key is not null;
create index waiting_fresh on trioworker.waiting (id) where fresh;
comment on column trioworker.waiting.key is 'The concurrency key that it waits for.';
comment on column trioworker.waiting.fresh is 'Enqueued in a transaction of somebody else''s, which locks no key: nobody has looked yet whether there is a slot for it.';

create table trioworker.concurrency (
    key      text        primary key check (octet_length(key) between 1 and 1000),
    slots    integer     not null check (slots >= 1),
    window_s float8      check (window_s > 0),
    said_at  timestamptz not null,
    look_at  timestamptz
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
create index concurrency_look on trioworker.concurrency (look_at) where look_at is not null;
comment on table trioworker.concurrency is 'The limit of each concurrency key, while anything has to do with it. Whoever counts slots locks its row first, in key order.';
comment on column trioworker.concurrency.said_at is 'Since when the newest enqueue says this limit.';
comment on column trioworker.concurrency.look_at is 'When time alone may let a job in: one becomes due, or a window has passed.';

create table trioworker.slot (
    id  uuid primary key,
    key text not null
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
create index slot_key on trioworker.slot (key);
comment on table trioworker.slot is 'Jobs that count against a limit: those in ready or in a claim that have one.';

create table trioworker.spent_slot (
    key     text        not null,
    free_at timestamptz not null,
    slots   bigint      not null check (slots >= 1),
    primary key (key, free_at)
);
comment on table trioworker.spent_slot is 'Slots that their jobs have left and that stay taken until their window has passed.';
