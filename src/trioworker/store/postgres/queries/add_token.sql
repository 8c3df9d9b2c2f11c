-- name: add_token
-- rows: none
-- does: notes the token $1: $2 group, $3 tags, $4 their ranks, $5 when it expires, $6 who made it
-- locks: only the row that it inserts
insert into trioworker.agent_token (id, worker_group, tags, ranks, expires_at, created_by)
values ($1, $2, $3, $4, $5, $6)
    on conflict (id) do nothing
