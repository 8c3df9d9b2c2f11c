-- name: read_flow
-- rows: many
-- does: the version $2 of the flow $1, or the newest when that is null
-- locks: nothing
select version, definition, created_at, created_by from trioworker.flow
 where path = $1::text and version = coalesce($2::integer, (
       select newest.version from trioworker.flow as newest
        where newest.path = $1 order by newest.version desc limit 1
 ))
