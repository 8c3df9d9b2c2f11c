-- Makes the place where migrations are recorded. Safe to run at any time, by several at once.
do $$
begin
    perform pg_advisory_xact_lock(hashtext('trioworker migrations'));
    create schema if not exists trioworker;
    create table if not exists trioworker.migration (
        number     integer     primary key,
        name       text        not null,
        applied_at timestamptz not null default now()
    );
end
$$;
