-- name: token_standing
-- rows: many
-- does: whether the token $1 was revoked, and the time by the database's clock; no row if unknown
-- locks: nothing
select revoked_at is not null as revoked, clock_timestamp() as now
  from trioworker.agent_token
 where id = $1
