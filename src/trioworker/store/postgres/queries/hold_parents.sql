-- name: hold_parents
-- rows: many
-- does: which of the attempts ($3 ids, $4 attempts) worker $1 has in its claims $2, and notes them
-- locks: those claims, in id order, so that no end of them is stored meanwhile; then their parent rows
--
-- What is noted outlives the attempt: should it end without success, a sweep finds its children by
-- it. A later try ($5 counts them) notes itself anew, for what failed before it may be tried again.
with held as materialized (
    select claim.ids, claim.attempts from trioworker.claim
     where claim.id = any ($2::uuid[]) and claim.worker = $1
     order by claim.id for update
),
mine as materialized (
    select asked.id, asked.tries
      from held cross join lateral unnest(held.ids, held.attempts) as member (id, attempt)
      join unnest($3::uuid[], $4::integer[], $5::integer[]) as asked (id, attempt, tries)
           using (id, attempt)
),
noted as (
    insert into trioworker.parent (id, tries)
    select mine.id, mine.tries from mine order by mine.id
        on conflict (id) do update set tries = excluded.tries, since = excluded.since
     where parent.tries < excluded.tries
)
select mine.id from mine
