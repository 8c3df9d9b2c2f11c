-- name: deploy_script
-- rows: many
-- does: stores a version of the script $1, its columns $2..$7, unless the newest is equal; which one
-- locks: the row that it inserts
--
-- Who requires the same as the version before keeps to its lock. When somebody else deploys at the
-- same time there is no row either; then the newest version is not equal.
with newest as materialized (
    select version, hash, language, requirements, lock from trioworker.script
     where path = $1::text
     order by version desc
     limit 1
)
insert into trioworker.script
       (path, version, hash, language, dedicated, content, requirements, lock, created_by)
select $1, coalesce((select version from newest), 0) + 1, $2::text, $3::text, $4::boolean, $5::text,
       $6::text::jsonb,
       (select lock from newest where requirements = $6::text::jsonb and language = $3), $7::text
 where not exists (select from newest where hash = $2)
    on conflict (path, version) do nothing
returning version, lock is not null as locked
