-- name: store_progress
-- rows: none
-- does: stores what attempts have told last of their progress: $1 ids, $2 attempts, fractions, notes
-- locks: the rows that it writes
insert into trioworker.job_progress (id, attempt, fraction, note)
select id, attempt, fraction, note
  from unnest($1::uuid[], $2::integer[], $3::float8[], $4::text[])
       as told (id, attempt, fraction, note)
    on conflict (id) do update
   set attempt = excluded.attempt, fraction = excluded.fraction, note = excluded.note,
       told_at = excluded.told_at
