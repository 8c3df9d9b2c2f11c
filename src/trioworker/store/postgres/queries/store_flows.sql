-- name: store_flows
-- rows: none
-- does: stores how far flows are, as columns $1..$8; those that begin come in with it
-- locks: their rows, or those of their outermost flows, which the transaction has locked already
insert into trioworker.flow_state (id, root, path, version, state, attempt, reaped, worker)
select id, root, path, version, state::jsonb, attempt, reaped, worker
  from unnest($1::uuid[], $2::uuid[], $3::text[], $4::integer[], $5::text[], $6::integer[],
              $7::smallint[], $8::uuid[])
       as flow (id, root, path, version, state, attempt, reaped, worker)
    on conflict (id) do update set state = excluded.state
