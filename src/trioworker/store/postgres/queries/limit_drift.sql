-- name: limit_drift
-- rows: many
-- does: up to $1 things that are wrong with slots, recounted: what, key and job, and the job's limit
-- locks: nothing
--
-- One statement, so that all is counted as it stood at one moment: no job is on its way meanwhile.
with held as materialized (
    select ready.id from trioworker.ready
    union all
    select unnest(claim.ids) from trioworker.claim
    union all
    select under_way.id from trioworker.flow_state as under_way
),
wrong as (
    select 'a slot that no job holds' as what, slot.key, slot.id from trioworker.slot
     where slot.id not in (select held.id from held)
    union all
    select 'a job that may run without a slot', coalesce(nullif(job.options #>> '{limit,key}', ''),
           job.path), job.id
      from held join trioworker.job using (id)
     where jsonb_typeof(job.options -> 'limit') = 'object'
       and not exists (select from trioworker.slot where slot.id = held.id)
    union all
    select 'a key whose limit is not known', concerned.key, concerned.id
      from (
        select key, id from trioworker.waiting where key is not null and not fresh
        union all
        select key, id from trioworker.slot
      ) as concerned
     where not exists (select from trioworker.concurrency where concurrency.key = concerned.key)
    union all
    select 'a job that waits although a slot is free', known.key, first.id
      from trioworker.concurrency as known
     cross join lateral (
        select w.id from trioworker.waiting w
         where w.key = known.key and not w.fresh and w.scheduled_for <= now()
         order by w.priority desc, w.scheduled_for, w.id limit 1
     ) as first
     where coalesce(known.look_at, 'infinity') > now()
       and known.slots > (
           select count(*) from trioworker.slot where slot.key = known.key
       ) + (
           select coalesce(sum(spent.slots), 0) from trioworker.spent_slot as spent
            where spent.key = known.key and spent.free_at > now()
       )
)
select wrong.what, wrong.key, wrong.id, (job.options #>> '{limit,slots}')::integer as slots,
       (job.options #>> '{limit,window_s}')::float8 as window_s
  from wrong left join lateral (
    select * from trioworker.job where job.id = wrong.id offset 0
  ) as job on true
 order by wrong.what, wrong.key, wrong.id
 limit $1
