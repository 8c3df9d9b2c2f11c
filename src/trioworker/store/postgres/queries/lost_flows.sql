-- name: lost_flows
-- rows: many
-- does: the outermost of up to $1 flows whose steps share a worker that is gone, with nothing in its hands
-- locks: nothing
select distinct state.root
  from (
    select kept.root from trioworker.flow_state as kept
      left join trioworker.worker on worker.id = kept.worker
     where kept.worker is not null
       and (worker.id is null or worker.lost_at is not null or worker.stopped_at is not null)
       and not exists (select from trioworker.claim where claim.worker = kept.worker)
     order by kept.worker, kept.id
     limit $1
  ) as state
 order by state.root
