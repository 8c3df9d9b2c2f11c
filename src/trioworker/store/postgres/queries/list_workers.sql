-- name: list_workers
-- rows: many
-- does: up to $1 workers: those that live, then those that ended last
-- locks: nothing
select worker.id, worker.name, worker.host, worker.pid, worker.mode, worker.tags, worker.ranks,
       case when worker.stopped_at is not null then 'stopped'
            when worker.lost_at is not null then 'lost'
            when worker.last_heartbeat < now() - worker.lease_s * interval '1 second' then 'silent'
            else 'alive' end as state,
       worker.started_at, worker.last_heartbeat,
       (select coalesce(sum(cardinality(claim.ids)), 0)::integer
          from trioworker.claim where claim.worker = worker.id) as claimed,
       worker.jobs_done, worker.jobs_failed, worker.jobs_running
  from trioworker.worker
 order by coalesce(worker.stopped_at, worker.lost_at) desc nulls first, worker.id desc
 limit $1
