-- name: hand_over
-- rows: many
-- does: claims those of the jobs $3 that are ready and due for worker $2 as one claim $1, as pull does
-- locks: their ready rows, which the transaction has made itself
with taken as (
    delete from trioworker.ready
     where id = any ($3::uuid[]) and scheduled_for <= now()
    returning id, tag, priority, scheduled_for, attempt, reaped
),
claimed as (
    insert into trioworker.claim (id, worker, ids, attempts, reaped)
    select $1, $2, array_agg(id), array_agg(attempt), array_agg(reaped) from taken
    having count(*) > 0
)
select taken.id, taken.attempt, taken.reaped, taken.scheduled_for, taken.tag, taken.priority,
       definition.kind, definition.path, definition.args, definition.options, definition.awaited,
       case when definition.options -> 'deadline' is not null then clock_timestamp() end as seen_at
  from taken
 cross join lateral (
    select * from trioworker.job where job.id = taken.id offset 0
 ) as definition
 order by taken.priority desc, array_position($3::uuid[], taken.id)
