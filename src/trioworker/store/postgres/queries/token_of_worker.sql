-- name: token_of_worker
-- rows: many
-- does: the token that worker $1 belongs to, null for one with a database; no row if unknown
-- locks: nothing
select token from trioworker.worker where id = $1
