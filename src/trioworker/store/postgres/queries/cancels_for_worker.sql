-- name: cancels_for_worker
-- rows: many
-- does: the jobs in worker $1's claims that somebody asked to cancel
-- locks: nothing
select request.id, request.reason
  from trioworker.cancel_request as request
 where exists (
    select from trioworker.claim where claim.worker = $1 and request.id = any (claim.ids)
 )
