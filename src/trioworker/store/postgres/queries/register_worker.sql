-- name: register_worker
-- rows: none
-- does: makes the row of worker $1: $2 name, $3 host, $4 pid, $5 mode, $6 tags, $7 ranks, $8 lease, $9 token
-- locks: only the row that it inserts
insert into trioworker.worker (id, name, host, pid, mode, tags, ranks, lease_s, token)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
    on conflict (id) do nothing
