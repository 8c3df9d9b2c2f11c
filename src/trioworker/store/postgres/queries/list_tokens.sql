-- name: list_tokens
-- rows: many
-- does: up to $1 tokens, the newest first, and how many workers have each and have not ended
-- locks: nothing
select token.id, token.worker_group, token.tags, token.ranks,
       case when token.revoked_at is not null then 'revoked'
            when token.expires_at <= now() then 'expired'
            else 'valid' end as state,
       token.expires_at, token.created_at, token.created_by, token.revoked_at,
       (select count(*)::integer
          from trioworker.worker
         where worker.token = token.id and worker.lost_at is null and worker.stopped_at is null
       ) as workers
  from trioworker.agent_token as token
 order by token.id desc
 limit $1
