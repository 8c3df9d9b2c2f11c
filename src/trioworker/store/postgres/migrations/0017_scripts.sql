-- 0017: scripts that are deployed, version by version, and what scripts make of their arguments.
alter table trioworker.job drop constraint job_kind_check;
alter table trioworker.job add constraint job_kind_check
    check (kind in ('function', 'script', 'noop', 'identity', 'flow', 'approval', 'dependencies'));

create table trioworker.script (
    path         text        not null check (octet_length(path) between 1 and 1000),
    version      integer     not null check (version >= 1),
    hash         text        not null,
    language     text        not null check (octet_length(language) between 1 and 50),
    dedicated    boolean     not null,
    content      text        not null check (octet_length(content) <= 4194304),
    requirements jsonb       not null check (jsonb_typeof(requirements) = 'array'),
    lock         jsonb       check (jsonb_typeof(lock) = 'array'),
    created_at   timestamptz not null default now(),
    created_by   text        not null default '',
    primary key (path, version)
);
comment on table trioworker.script is 'Deployed scripts; the newest version of a path counts. lock has the exact versions of its packages, once a job has found them.';

create table trioworker.job_preprocessed (
    id   uuid  primary key,
    args jsonb not null
);
comment on table trioworker.job_preprocessed is 'The arguments that a script has made of those that its job was given.';
