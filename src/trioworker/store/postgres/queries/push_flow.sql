-- name: push_flow
-- rows: many
-- does: stores $2 as the next version of the flow $1, pushed by $3, unless the newest is equal; its number
-- locks: only the row that it inserts; no row comes back when somebody else was quicker: do it again
with newest as materialized (
    select version, definition = $2::jsonb as equal from trioworker.flow
     where path = $1::text
     order by version desc
     limit 1
),
made as (
    insert into trioworker.flow (path, version, definition, created_by)
    select $1, coalesce((select newest.version from newest), 0) + 1, $2, $3
     where not coalesce((select newest.equal from newest), false)
        on conflict (path, version) do nothing
    returning version
)
select made.version, true as new from made
union all
select newest.version, false from newest where newest.equal
