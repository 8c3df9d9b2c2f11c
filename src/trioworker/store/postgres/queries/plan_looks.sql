-- name: plan_looks
-- rows: none
-- does: notes when the keys $1 need a look again, and forgets those that nothing has to do with
-- locks: rows of those keys only, whose locks it is run under
--
-- While a slot is free that is when the next job is due, otherwise when the next window has passed;
-- the end of a job needs no look, for its commit promotes the next.
with state as materialized (
    select known.key, known.slots - taken.slots - spent.slots as free,
           taken.slots = 0 as idle, spent.next, spent.last,
           exists (select from trioworker.waiting w where w.key = known.key offset 0)
           as waited_for
      from unnest($1::text[]) as wanted (key)
     cross join lateral (
        select * from trioworker.concurrency where concurrency.key = wanted.key offset 0
     ) as known
     cross join lateral (
        select count(*) as slots from trioworker.slot where slot.key = wanted.key
     ) as taken
     cross join lateral (
        select coalesce(sum(spent_slot.slots), 0) as slots, min(spent_slot.free_at) as next,
               max(spent_slot.free_at) as last
          from trioworker.spent_slot
         where spent_slot.key = wanted.key and spent_slot.free_at > now()
     ) as spent
),
planned as materialized (
    select state.key, idle and not waited_for and last is null as over,
           case when not waited_for then last
                when free <= 0 then next
                else (
                    with recursive lane (priority) as (
                        select 32767::smallint
                        union all
                        select (
                            select w.priority from trioworker.waiting w
                             where w.key = state.key and w.priority < lane.priority
                             order by w.priority desc limit 1
                        )
                        from lane where lane.priority is not null
                    )
                    select min(first.scheduled_for) from lane cross join lateral (
                        select w.scheduled_for from trioworker.waiting w
                         where w.key = state.key and w.priority = lane.priority
                         order by w.scheduled_for limit 1
                    ) as first
                )
           end as look_at
      from state
),
passed as (
    delete from trioworker.spent_slot where key = any ($1) and free_at <= now()
),
forgotten as (
    delete from trioworker.concurrency
     where key = any (array(select planned.key from planned where over))
)
update trioworker.concurrency set look_at = planned.look_at
  from planned
 where concurrency.key = planned.key and concurrency.key = any ($1) and not planned.over
   and concurrency.look_at is distinct from planned.look_at
