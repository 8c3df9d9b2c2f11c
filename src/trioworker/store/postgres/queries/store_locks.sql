-- name: store_locks
-- rows: none
-- does: notes the exact versions $3 that the versions $2 of the scripts $1 require
-- locks: those versions, in order
with named as materialized (
    select script.path, script.version, found.lock
      from unnest($1::text[], $2::integer[], $3::text[]) as found (path, version, lock)
      join trioworker.script using (path, version)
     order by script.path, script.version
       for update of script
)
update trioworker.script
   set lock = named.lock::jsonb
  from named
 where script.path = named.path and script.version = named.version
