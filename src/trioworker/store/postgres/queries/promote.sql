-- name: promote
-- rows: many
-- does: makes ready the next due jobs that wait for a slot of the keys $1, as many as are free
-- locks: the waiting rows it moves (skip locked); run it under the locks of the keys
--
-- The order is that of a pull: priority, then due time, then id; what somebody else holds (to cancel
-- it) is passed over. Per key a loose scan over its priorities, so that jobs of the future cost nothing.
with room as materialized (
    select known.key, known.slots - taken.slots - spent.slots as free
      from unnest($1::text[]) as wanted (key)
     cross join lateral (
        select * from trioworker.concurrency where concurrency.key = wanted.key offset 0
     ) as known
     cross join lateral (
        select count(*) as slots from trioworker.slot where slot.key = wanted.key
     ) as taken
     cross join lateral (
        select coalesce(sum(spent_slot.slots), 0) as slots from trioworker.spent_slot
         where spent_slot.key = wanted.key and spent_slot.free_at > now()
     ) as spent
),
next as materialized (
    select room.key, best.id
      from room cross join lateral (
        with recursive lane (priority) as (
            select 32767::smallint
            union all
            select (
                select w.priority from trioworker.waiting w
                 where w.key = room.key and w.priority < lane.priority
                 order by w.priority desc limit 1
            )
            from lane where lane.priority is not null
        )
        select due.id from lane cross join lateral (
            select w.id from trioworker.waiting w
             where w.key = room.key and w.priority = lane.priority and w.scheduled_for <= now()
             order by w.scheduled_for, w.id
             limit room.free for update skip locked
        ) as due
        limit room.free
      ) as best
     where room.free > 0
),
moved as (
    delete from trioworker.waiting where id = any (array(select next.id from next))
    returning id, key, priority, scheduled_for, attempt, reaped
),
taken as (
    insert into trioworker.slot (id, key) select id, key from moved on conflict (id) do nothing
),
promoted as (
    insert into trioworker.ready (id, tag, priority, scheduled_for, attempt, reaped)
    select moved.id, job.tag, moved.priority, moved.scheduled_for, moved.attempt, moved.reaped
      from moved cross join lateral (
           select job.tag from trioworker.job where job.id = moved.id offset 0
      ) as job
    returning id
)
select id from promoted
