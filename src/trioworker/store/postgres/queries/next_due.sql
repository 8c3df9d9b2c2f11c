-- name: next_due
-- rows: one
-- does: seconds until the next job of the tags $1 is due; null when none is scheduled
-- locks: nothing
with recursive lane (tag, priority) as (
    select wanted.tag, 32767::smallint from unnest($1::text[]) as wanted (tag)
    union all
    select lane.tag, (
        select r.priority from trioworker.ready r
         where r.tag = lane.tag and r.priority < lane.priority
         order by r.priority desc limit 1
    )
    from lane where lane.priority is not null
)
select extract(epoch from min(next.scheduled_for) - clock_timestamp())::float8 as seconds
  from lane cross join lateral (
    select r.scheduled_for from trioworker.ready r
     where r.tag = lane.tag and r.priority = lane.priority and r.scheduled_for > now()
     order by r.scheduled_for limit 1
  ) as next
