-- name: place_in_line
-- rows: many
-- does: for which slot the job $1 waits and who is before it; no row unless it waits for one
-- locks: nothing
--
-- Before it are those that would be let in first when it is due: later ones do not hold it up.
select mine.key, mine.scheduled_for as due_at, before.jobs + 1 as place, known.slots,
       taken.slots as taken, spent.slots as spent, spent.next as opens_at
  from trioworker.waiting as mine
 cross join lateral (
    select count(*) as jobs from trioworker.waiting as other
     where other.key = mine.key and other.priority >= mine.priority
       and other.scheduled_for <= greatest(mine.scheduled_for, now())
       and (other.priority > mine.priority
            or (other.scheduled_for, other.id) < (mine.scheduled_for, mine.id))
 ) as before
  left join lateral (
    select * from trioworker.concurrency where concurrency.key = mine.key offset 0
 ) as known on true
 cross join lateral (
    select count(*) as slots from trioworker.slot where slot.key = mine.key
 ) as taken
 cross join lateral (
    select coalesce(sum(spent_slot.slots), 0)::bigint as slots, min(spent_slot.free_at) as next
      from trioworker.spent_slot
     where spent_slot.key = mine.key and spent_slot.free_at > now()
 ) as spent
 where mine.id = $1 and mine.key is not null
