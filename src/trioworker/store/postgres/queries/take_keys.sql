-- name: take_keys
-- rows: many
-- does: notes that the jobs $3 hold the keys $2 of the sorts $1: during $4, until $5, since $6
-- locks: those keys' rows, which the transaction has locked already
--
-- A key need not be looked at by a sweep for $7 seconds, nor before its period is over.
update trioworker.unique_key as held
   set job = new.job, during = new.during, until = new.until, first_at = new.first_at,
       look_at = greatest(new.until, now() + $7::float8 * interval '1 second')
  from unnest($1::text[], $2::text[], $3::uuid[], $4::text[], $5::timestamptz[], $6::timestamptz[])
       as new (sort, key, job, during, until, first_at)
 where held.sort = new.sort and held.key = new.key
   and held.sort = any ($1) and held.key = any ($2)
returning held.key
