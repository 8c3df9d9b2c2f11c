-- name: store_logs
-- rows: none
-- does: stores the last pieces of what jobs wrote: $1 ids, $2 attempts, $3 pieces, $4 texts
-- locks: the pieces of log that it writes
--
-- With its first piece a run drops what an earlier run of the same attempt, put off or interrupted,
-- has left behind.
with said as materialized (
    select * from unnest($1::uuid[], $2::integer[], $3::integer[], $4::text[])
        as piece (id, attempt, chunk, text)
),
dropped as (
    delete from trioworker.job_log where ctid = any (array(
        select old.ctid from said cross join lateral (
            select log.ctid from trioworker.job_log as log
             where log.id = said.id and log.attempt = said.attempt and log.chunk > 0 offset 0
        ) as old
         where said.chunk = 0
    ))
)
insert into trioworker.job_log (id, attempt, chunk, text)
select id, attempt, chunk, text from said
    on conflict (id, attempt, chunk) do update set text = excluded.text
