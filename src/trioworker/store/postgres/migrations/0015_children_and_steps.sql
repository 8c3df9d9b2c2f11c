-- 0015: functions that enqueue children and wait for them, and the steps that they need not repeat.
create table trioworker.job_step (
    job    uuid        not null,
    name   text        not null check (octet_length(name) between 1 and 200),
    result jsonb       not null,
    at     timestamptz not null default now(),
    primary key (job, name)
);
comment on table trioworker.job_step is 'What steps of functions have returned; a later attempt of the job takes it from here.';

-- A row of each job that has enqueued children, from then on until its end has been seen to: what it
-- has left behind when it fails is canceled. Whose child a job is stands with the job.
create table trioworker.parent (
    id    uuid        primary key,
    tries integer     not null check (tries >= 1),
    since timestamptz not null default now()
);
comment on table trioworker.parent is 'Jobs that have enqueued children, which of their tries did so last, and since when.';
