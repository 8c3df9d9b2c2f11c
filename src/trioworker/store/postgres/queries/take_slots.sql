-- name: take_slots
-- rows: none
-- does: gives the jobs $1 the slots of the keys $2 that they should have had
-- locks: only rows that it inserts
insert into trioworker.slot (id, key)
select id, key from unnest($1::uuid[], $2::text[]) as missing (id, key)
    on conflict (id) do nothing
