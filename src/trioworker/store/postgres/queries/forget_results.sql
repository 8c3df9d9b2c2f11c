-- name: forget_results
-- rows: many
-- does: deletes up to $1 results whose time is over
-- locks: those rows (skip locked)
--
-- An array, because a join may look for its $1 rows once more for each row that it is joined to.
delete from trioworker.result_cache
 where ctid = any (array(
    select over.ctid from trioworker.result_cache as over
     where over.expires_at < now()
     order by over.expires_at
     limit $1 for update skip locked
 ))
returning key
