-- name: store_logs
-- rows: none
-- does: stores what jobs wrote: $1 ids, $2 attempts, $3 texts
-- locks: only rows that it inserts
insert into trioworker.job_log (id, attempt, chunk, text)
select id, attempt, 0, text
  from unnest($1::uuid[], $2::integer[], $3::text[]) as log (id, attempt, text)
    on conflict (id, attempt, chunk) do update set text = excluded.text
