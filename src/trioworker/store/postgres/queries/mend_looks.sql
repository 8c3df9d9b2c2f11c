-- name: mend_looks
-- rows: none
-- does: has up to $1 keys looked at that nobody would look at, though there is something to do
-- locks: those keys' rows (skip locked)
--
-- SQL in somebody's transaction may free a slot without a lock on its key, at the very moment at
-- which another counts it as taken. Then a job waits for a free slot, or a key outlives its jobs.
update trioworker.concurrency set look_at = now()
 where key = any (array(
       select known.key from trioworker.concurrency as known
        where coalesce(known.look_at, 'infinity') > now()
          and case
              when exists (
                  select from trioworker.waiting w
                   where w.key = known.key and w.scheduled_for <= now() offset 0
              ) then known.slots > (
                  select count(*) from trioworker.slot where slot.key = known.key
              ) + (
                  select coalesce(sum(spent.slots), 0) from trioworker.spent_slot as spent
                   where spent.key = known.key and spent.free_at > now()
              )
              else not exists (
                  select from trioworker.waiting w where w.key = known.key offset 0
              ) and not exists (
                  select from trioworker.slot where slot.key = known.key offset 0
              ) and not exists (
                  select from trioworker.spent_slot as spent where spent.key = known.key offset 0
              )
              end
        order by known.key
        limit $1 for update skip locked
 ))
