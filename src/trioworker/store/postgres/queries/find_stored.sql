-- name: find_stored
-- rows: many
-- does: which of the attempts ($2 ids, $3 attempts) of worker $1 are stored already
-- locks: nothing
--
-- A job that a sweep gave up carries the same worker and attempt, and nobody ever stored its outcome:
-- it has no start.
select mine.id
  from unnest($2::uuid[], $3::integer[]) as mine (id, attempt)
 cross join lateral (
    select * from trioworker.job_completed as done where done.id = mine.id offset 0
 ) as done
 where done.attempt = mine.attempt and done.worker = $1 and done.started_at is not null
