-- name: enqueue
-- rows: many
-- does: makes jobs ready, given as columns $1..$11; returns the ids that are new
-- locks: only rows that it inserts; an id that exists already is left as it is
with new as (
    insert into trioworker.job
           (id, kind, path, args, tag, priority, options, awaited, created_by, parent)
    select id, kind, path, args::jsonb, tag, priority, options::jsonb, awaited, created_by, parent
      from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::smallint[],
                  $8::text[], $9::boolean[], $10::text[], $11::uuid[])
           as job (id, kind, path, args, tag, priority, options, awaited, created_by, parent)
        on conflict (id) do nothing
    returning id, tag, priority
)
insert into trioworker.ready (id, tag, priority, scheduled_for)
select new.id, new.tag, new.priority, coalesce(due.scheduled_for, now())
  from new join unnest($1::uuid[], $7::timestamptz[]) as due (id, scheduled_for) using (id)
returning id
