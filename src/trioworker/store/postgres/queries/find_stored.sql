-- name: find_stored
-- rows: many
-- does: which of the attempts ($2 ids, $3 attempts) of worker $1 are stored already
-- locks: nothing
select done.id
  from unnest($2::uuid[], $3::integer[]) as mine (id, attempt)
  join trioworker.job_completed as done using (id, attempt)
 where done.worker = $1
