-- name: sweep_cancels
-- rows: none
-- does: deletes requests to cancel jobs that have ended in the meantime
-- locks: those requests
delete from trioworker.cancel_request as request
 where exists (select from trioworker.job_completed as done where done.id = request.id offset 0)
