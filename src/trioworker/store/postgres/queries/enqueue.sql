-- name: enqueue
-- rows: many
-- does: makes jobs ready, or lets them wait for a slot or a decision, given as columns $1..$11; the new ids
-- locks: only rows that it inserts; an id that exists already is left as it is
with new as (
    insert into trioworker.job
           (id, kind, path, args, tag, priority, options, awaited, created_by, parent)
    select id, kind, path, args::jsonb, tag, priority, options::jsonb, awaited, created_by, parent
      from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::smallint[],
                  $8::text[], $9::boolean[], $10::text[], $11::uuid[])
           as job (id, kind, path, args, tag, priority, options, awaited, created_by, parent)
        on conflict (id) do nothing
    returning id, kind, path, tag, priority, options -> 'limit' as limited
),
placed as materialized (
    select new.*, coalesce(due.scheduled_for, now()) as scheduled_for, due.scheduled_for as until,
           new.kind = 'approval' as undecided
      from new join unnest($1::uuid[], $7::timestamptz[]) as due (id, scheduled_for) using (id)
),
behind as (
    insert into trioworker.waiting (id, reason, key, priority, scheduled_for)
    select id, 'limit', coalesce(nullif(limited ->> 'key', ''), path), priority, scheduled_for
      from placed where not undecided and jsonb_typeof(limited) = 'object'
),
ahead as (
    insert into trioworker.ready (id, tag, priority, scheduled_for)
    select id, tag, priority, scheduled_for
      from placed where not undecided and jsonb_typeof(limited) is distinct from 'object'
),
undecided as (
    insert into trioworker.waiting (id, reason, until) select id, 'approval', until from placed
     where undecided
)
select id from new
