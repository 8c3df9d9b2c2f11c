-- name: key_holders
-- rows: many
-- does: for jobs $1 with keys $3 of sorts $2: is it known, who took its key, where is that one
-- locks: nothing; run it under the locks of the keys
--
-- In the order of $1. A key that nobody has taken yet has no holder.
select known.id is not null as known, held.job, held.during, held.until, held.first_at,
       case when ready.id is not null or waiting.id is not null then 'queued'
            when job.id is not null and done.id is null then 'begun'
            else 'ended' end as standing,
       now() as now
  from unnest($1::uuid[], $2::text[], $3::text[]) with ordinality as asked (id, sort, key, place)
 cross join lateral (
    select * from trioworker.unique_key as held
     where held.sort = asked.sort and held.key = asked.key offset 0
  ) as held
  left join lateral (
    select * from trioworker.job where job.id = asked.id offset 0
  ) as known on true
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
 order by asked.place
