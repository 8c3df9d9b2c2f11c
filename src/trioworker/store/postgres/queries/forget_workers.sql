-- name: forget_workers
-- rows: many
-- does: deletes up to $1 rows of workers that ended more than $2 seconds ago and claim nothing
-- locks: those workers' rows (skip locked)
--
-- An array, because a join may look for its $1 rows once more for each row that it is joined to.
delete from trioworker.worker
 where id = any (array(
    select ended.id from trioworker.worker as ended
     where coalesce(ended.stopped_at, ended.lost_at) < now() - $2::float8 * interval '1 second'
       and not exists (select from trioworker.claim where claim.worker = ended.id offset 0)
     order by ended.id
     limit $1 for update skip locked
 ))
returning id
