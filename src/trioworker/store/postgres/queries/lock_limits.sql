-- name: lock_limits
-- rows: many
-- does: locks the keys of the jobs $1 with a slot and the keys $2; their limits are $3, $4 since $5
-- locks: those keys' rows, in key order; nothing else ever waits for one of them
--
-- Slots may be counted after this, in a later statement: one that waited would count what was there
-- before the wait. A limit that is null is left as it is known; the one said last goes before others.
-- The row of a key is there as long as anybody has a slot of it or waits for one.
with said as (
    select distinct on (key) key, slots, window_s, coalesce(said_at, now()) as said_at
      from unnest($2::text[], $3::integer[], $4::float8[], $5::timestamptz[]) with ordinality
           as said (key, slots, window_s, said_at, place)
     where slots is not null
     order by key, coalesce(said_at, now()) desc, place desc
),
known as (
    select known.key, known.slots, known.window_s, known.said_at
      from trioworker.concurrency as known
     where known.key = any (array(
               select slot.key from trioworker.slot where slot.id = any ($1::uuid[])
               union all
               select wanted.key from unnest($2) as wanted (key)
           ))
       and known.key not in (select said.key from said)
),
concerned as materialized (
    select * from said union all select * from known
),
locked as (
    insert into trioworker.concurrency as held (key, slots, window_s, said_at)
    select key, slots, window_s, said_at from concerned order by key
        on conflict (key) do update
       set slots = excluded.slots, window_s = excluded.window_s, said_at = excluded.said_at
     where excluded.said_at > held.said_at
)
select key from concerned order by key
