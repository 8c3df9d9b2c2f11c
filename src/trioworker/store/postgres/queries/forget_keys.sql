-- name: forget_keys
-- rows: many
-- does: deletes those of the keys $2 of the sorts $1 that nothing holds, by $3; others rest for $4 s
-- locks: those keys' rows, which the transaction has locked already
with judged as materialized (
    select known.place, due.held
      from unnest($1::text[], $2::text[], $3::boolean[]) as due (sort, key, held)
     cross join lateral (
        select held.ctid as place from trioworker.unique_key as held
         where held.sort = due.sort and held.key = due.key offset 0 for update
      ) as known
),
kept as (
    update trioworker.unique_key
       set look_at = greatest(until, now() + $4::float8 * interval '1 second')
     where ctid = any (array(select judged.place from judged where judged.held))
)
delete from trioworker.unique_key
 where ctid = any (array(select judged.place from judged where not judged.held))
returning key
