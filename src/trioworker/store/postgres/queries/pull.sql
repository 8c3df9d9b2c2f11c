-- name: pull
-- rows: many
-- does: claims up to $3 due jobs of the tags $4 for worker $2 as one claim $1, best first
-- locks: the ready rows it takes (skip locked); no row of any other table
--
-- A worker whose lease was taken away gets nothing: whoever took it may not look here again soon.
--
-- $5..$8 are floors (tag, priority, scheduled_for, id): where the last full pull of a lane (the
-- jobs of one tag and priority) ended. Everything before a floor is a dead index entry that a
-- long transaction elsewhere keeps from being cleaned; starting at the floor skips them.
--
-- Best are those of the tag with the highest rank, in $10 for each tag, whatever their priority;
-- among tags of one rank priority decides, then who is due longest.
--
-- A job that has lost $9 workers or more is claimed alone: the next loss would give it up, and what
-- kills its worker then may only cost itself. A batch ends before the first such job.
--
-- For jobs with a deadline it tells what time it is: how long they have is for the worker to see,
-- who can read what is no time at all without failing.
with recursive floor as materialized (
    select * from unnest($5::text[], $6::smallint[], $7::timestamptz[], $8::uuid[])
        as f (tag, priority, scheduled_for, id)
),
-- A loose index scan: one probe per priority that exists, none per job. Known floors are stepped
-- over without a probe into their dead entries.
lane (tag, priority) as (
    select wanted.tag, 32767::smallint from unnest($4::text[]) as wanted (tag)
    union all
    select lane.tag, coalesce(
        (select r.priority from trioworker.ready r
          where r.tag = lane.tag and r.priority < lane.priority
            and r.priority > known.priority
          order by r.priority desc limit 1),
        nullif(known.priority, -32768))
    from lane
    cross join lateral (
        select coalesce(max(floor.priority), -32768)::smallint as priority from floor
         where floor.tag = lane.tag and floor.priority < lane.priority
    ) as known
    where lane.priority is not null
),
peek as materialized (
    select best.* from unnest($4::text[], $10::smallint[]) as wanted (tag, rank)
    cross join lateral (
        select due.* from lane
        left join floor using (tag, priority)
        cross join lateral (
            select r.ctid as place, r.id, r.priority, r.scheduled_for, r.reaped
              from trioworker.ready r
             where r.tag = lane.tag and r.priority = lane.priority
               and (r.scheduled_for, r.id) >= (coalesce(floor.scheduled_for, '-infinity'),
                    coalesce(floor.id, '00000000-0000-0000-0000-000000000000'))
               and r.scheduled_for <= now()
             order by r.scheduled_for, r.id
             limit $3 for update skip locked
        ) as due
        where lane.tag = wanted.tag and lane.priority < 32767
        limit $3
    ) as best
    where exists (
        select from trioworker.worker where worker.id = $2 and worker.lost_at is null
    )
    order by wanted.rank desc, best.priority desc, best.scheduled_for, best.id
    limit $3
),
-- Both read peek from its beginning, and peek is in order. Without a last chance nth is null, which
-- is no limit.
last_chance as materialized (
    select array_position(array(select reaped >= $9 from peek), true) as nth
),
batch as (
    select place, id from peek
     limit (select case when nth > 1 then nth - 1 else nth end from last_chance)
),
taken as (
    delete from trioworker.ready where ctid = any (array(select place from batch))
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
 order by ($10::smallint[])[array_position($4::text[], taken.tag)] desc,
       taken.priority desc, taken.scheduled_for, taken.id
