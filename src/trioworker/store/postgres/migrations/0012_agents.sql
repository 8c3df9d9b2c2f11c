-- 0012: the tokens of agents, which reach the queue through a server, and whose token a worker has.
create table trioworker.agent_token (
    id           uuid        primary key,
    worker_group text        not null check (octet_length(worker_group) between 1 and 120),
    tags         text[]      not null check (cardinality(tags) > 0),
    ranks        smallint[]  not null,
    created_at   timestamptz not null default now(),
    created_by   text        not null,
    expires_at   timestamptz,
    revoked_at   timestamptz,
    check (cardinality(ranks) = cardinality(tags))
);
comment on table trioworker.agent_token is 'Tokens that were made for agents, what they say, and whether they still count; not the tokens themselves.';

alter table trioworker.worker add column token uuid;
comment on column trioworker.worker.token is 'The token that first used this id, which belongs to it from then on; null for a worker with a database.';
