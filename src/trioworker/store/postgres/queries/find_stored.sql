-- name: find_stored
-- rows: many
-- does: which of the attempts ($2 ids, $3 attempts) of worker $1 are stored already
-- locks: nothing
select mine.id
  from unnest($2::uuid[], $3::integer[]) as mine (id, attempt)
 cross join lateral (
    select * from trioworker.job_completed as done where done.id = mine.id offset 0
 ) as done
 where done.attempt = mine.attempt and done.worker = $1
