-- 0008: labels of ended jobs, and what is needed to delete ended jobs when nobody wants them any more.
create table trioworker.job_label (
    id    uuid not null,
    label text not null check (octet_length(label) between 1 and 200)
);
create index job_label_newest on trioworker.job_label (label, id);
-- Made last: of two indexes that cost a plan the same, as in an empty table, it takes the newer one.
alter table trioworker.job_label add primary key (id, label);
comment on table trioworker.job_label is 'Labels of jobs that have ended, stored with their completion.';

create table trioworker.expiry (
    id uuid        primary key,
    at timestamptz not null
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
create index expiry_at on trioworker.expiry (at);
comment on table trioworker.expiry is 'When everything about an ended job is deleted.';

-- The oldest jobs are found by their ids, which sort by the time at which they were made. Those whose
-- makers had other ideas have an index of their own, so that all others cost no entry in any.
create index job_completed_foreign on trioworker.job_completed (completed_at)
    where get_byte(uuid_send(id), 6) >> 4 <> 7;
