-- name: count_jobs
-- rows: many
-- does: how many unfinished jobs stand where, by tag
-- locks: nothing
with place as (
    select tag, scheduled_for <= now() as ready, scheduled_for > now() as scheduled,
           false as waiting, false as running
      from trioworker.ready
    union all
    select job.tag, false, false, true, false
      from trioworker.waiting join trioworker.job using (id)
    union all
    select job.tag, false, false, true, false
      from trioworker.flow_state join trioworker.job using (id)
    union all
    select job.tag, false, false, false, true
      from trioworker.claim cross join lateral unnest(claim.ids) as member (id)
      join trioworker.job on job.id = member.id
)
select tag, count(*) filter (where ready) as ready, count(*) filter (where scheduled) as scheduled,
       count(*) filter (where waiting) as waiting, count(*) filter (where running) as running
  from place
 group by tag
 order by tag
