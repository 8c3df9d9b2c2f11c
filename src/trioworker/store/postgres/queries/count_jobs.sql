-- name: count_jobs
-- rows: many
-- does: how many jobs stand where, by tag; finished ones are not counted
-- locks: nothing
select tag, count(*) filter (where scheduled_for <= now()) as ready,
       count(*) filter (where scheduled_for > now()) as scheduled
  from trioworker.ready
 group by tag
 order by tag
