-- name: mark_lost
-- rows: many
-- does: takes the lease from up to $1 workers whose heartbeat is older than their lease
-- locks: those workers' rows, in id order (skip locked)
--
-- After a start of the server everybody gets a whole lease to come back: nobody could renew while
-- it was down, and taking jobs from workers that live would run them twice.
-- An array, because a join may look for its $1 rows once more for each row that it is joined to.
update trioworker.worker
   set lost_at = now()
 where id = any (array(
    select silent.id from trioworker.worker as silent
     where silent.lost_at is null and silent.stopped_at is null
       and silent.last_heartbeat < now() - silent.lease_s * interval '1 second'
       and pg_postmaster_start_time() < now() - silent.lease_s * interval '1 second'
     order by silent.id
     limit $1 for update skip locked
 ))
returning id, name
