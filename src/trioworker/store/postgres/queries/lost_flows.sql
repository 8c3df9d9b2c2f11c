-- name: lost_flows
-- rows: many
-- does: up to $1 outermost flows with flows in them that share a worker which is gone, and that worker
-- locks: nothing
--
-- A worker that still has something in its hands comes when that was taken back.
with keeper as materialized (
    select distinct worker as id from trioworker.flow_state where worker is not null
),
gone as materialized (
    select keeper.id from keeper
      left join lateral (
        select worker.id, worker.lost_at, worker.stopped_at from trioworker.worker
         where worker.id = keeper.id offset 0
      ) as known on true
     where (known.id is null or known.lost_at is not null or known.stopped_at is not null)
       and not exists (select from trioworker.claim where claim.worker = keeper.id offset 0)
)
select distinct state.root, gone.id as worker
  from gone cross join lateral (
    select root from trioworker.flow_state as state where state.worker = gone.id offset 0
  ) as state
 order by state.root, gone.id
 limit $1
