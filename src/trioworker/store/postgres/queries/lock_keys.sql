-- name: lock_keys
-- rows: none
-- does: locks the keys $2 of the sorts $1, those that nobody has taken yet included
-- locks: those keys' rows, in the order of sort and key
--
-- What holds a key may be asked after this, in a later statement: one that waited would see who held
-- it before the wait. Nothing is written to a row that is there.
insert into trioworker.unique_key as held (sort, key)
select distinct sort, key from unnest($1::text[], $2::text[]) as wanted (sort, key)
 order by sort, key
    on conflict (sort, key) do update set key = excluded.key where false
