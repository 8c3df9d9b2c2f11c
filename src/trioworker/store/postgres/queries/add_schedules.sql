-- name: add_schedules
-- rows: many
-- does: makes rows for the schedules $1 with the definitions $2; returns the names that are new
-- locks: only rows that it inserts, in name order; a name that exists already is left as it is
insert into trioworker.schedule (name, definition, look_at)
select name, definition::jsonb, null
  from unnest($1::text[], $2::text[]) as said (name, definition)
 order by name
    on conflict (name) do nothing
returning name
