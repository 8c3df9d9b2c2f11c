-- name: find_stored
-- rows: many
-- does: which of the attempts ($2 ids, $3 attempts) of worker $1 are stored already
-- locks: nothing
--
-- They ended their job, or another attempt follows them. What a sweep took back or gave up carries
-- the same worker and attempt, and nobody ever stored its outcome: it has no start.
select mine.id
  from unnest($2::uuid[], $3::integer[]) as mine (id, attempt)
 where exists (
    select from trioworker.job_completed as done
     where done.id = mine.id and done.attempt = mine.attempt and done.worker = $1
       and done.started_at is not null
    offset 0
 ) or exists (
    select from trioworker.job_attempt as failed
     where failed.id = mine.id and failed.attempt = mine.attempt and failed.worker = $1
       and failed.started_at is not null
    offset 0
 )
