-- 0013: what running jobs have said is stored in the order in which it was said, however it comes.
alter table trioworker.claim add column flushed integer not null default 0;
comment on column trioworker.claim.flushed is 'The last flush of what its running jobs have said that was stored: an earlier one comes too late.';
