-- name: list_scripts
-- rows: many
-- does: up to $2 versions: all of the script $1, the newest first, or the newest of each if it is null
-- locks: nothing
select path, version, language, dedicated, octet_length(content) as size, hash, requirements, lock,
       created_at, created_by
  from trioworker.script
 where case when $1::text is null
            then not exists (
                select from trioworker.script as later
                 where later.path = script.path and later.version > script.version
            )
            else path = $1 end
 order by path, version desc
 limit $2
