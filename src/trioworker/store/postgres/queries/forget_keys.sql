-- name: forget_keys
-- rows: many
-- does: deletes those of the keys $2 of the sorts $1 that nothing holds; the others rest for $3 s
-- locks: those keys' rows, which the transaction has locked already
--
-- What holds them is asked as in key_holders.
with judged as materialized (
    select held.place, case
           when held.job is null then false
           when held.until is not null then held.until > now()
           when ready.id is not null or waiting.id is not null then true
           else held.during = 'unfinished' and job.id is not null and done.id is null
           end is true as held
      from unnest($1::text[], $2::text[]) as due (sort, key)
     cross join lateral (
        select held.ctid as place, held.* from trioworker.unique_key as held
         where held.sort = due.sort and held.key = due.key offset 0 for update
      ) as held
      left join lateral (
        select * from trioworker.ready where ready.id = held.job offset 0
      ) as ready on true
      left join lateral (
        select * from trioworker.waiting where waiting.id = held.job offset 0
      ) as waiting on true
      left join lateral (
        select * from trioworker.job where job.id = held.job offset 0
      ) as job on true
      left join lateral (
        select * from trioworker.job_completed as done where done.id = held.job offset 0
      ) as done on true
),
kept as (
    update trioworker.unique_key
       set look_at = greatest(until, now() + $3::float8 * interval '1 second')
     where ctid = any (array(select judged.place from judged where judged.held))
)
delete from trioworker.unique_key
 where ctid = any (array(select judged.place from judged where not judged.held))
returning key
