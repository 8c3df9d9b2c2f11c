-- name: read_script
-- rows: many
-- does: the version $2 of the deployed script $1, with its text
-- locks: nothing
select path, version, hash, language, dedicated, requirements, lock, content
  from trioworker.script
 where path = $1::text and version = $2::integer
