-- name: release_slots
-- rows: none
-- does: frees the slots of the jobs $1, after the window of their key where $2 says that they ran
-- locks: only rows of these jobs, and what it inserts under the locks of their keys
--
-- Those of them that are to run again, and stand in ready since this transaction, wait in line.
with freed as (
    delete from trioworker.slot where id = any ($1::uuid[]) returning id, key
),
spent as (
    insert into trioworker.spent_slot as held (key, free_at, slots)
    select used.key, now() + known.window_s * interval '1 second', used.slots
      from (
        select freed.key, count(*) as slots
          from freed join unnest($1, $2::boolean[]) as gone (id, ran) using (id)
         where gone.ran group by freed.key
      ) as used
     cross join lateral (
        select * from trioworker.concurrency where concurrency.key = used.key offset 0
     ) as known
     where known.window_s is not null
        on conflict (key, free_at) do update set slots = held.slots + excluded.slots
),
standing as materialized (
    select ctid as place from trioworker.ready
     where id = any (array(select freed.id from freed)) order by id
),
again as (
    delete from trioworker.ready where ctid = any (array(select place from standing))
    returning id, priority, scheduled_for, attempt, reaped
)
insert into trioworker.waiting (id, reason, key, priority, scheduled_for, attempt, reaped)
select again.id, 'limit', freed.key, again.priority, again.scheduled_for, again.attempt,
       again.reaped
  from again join freed using (id)
