-- name: revoke_tokens
-- rows: many
-- does: lets the tokens $1 count no longer; the ids of those that there are
-- locks: their rows, in id order
--
-- One that was revoked before keeps its time.
with held as materialized (
    select id from trioworker.agent_token where id = any ($1::uuid[]) order by id for update
)
update trioworker.agent_token
   set revoked_at = coalesce(revoked_at, now())
 where id = any (array(select held.id from held))
returning id
