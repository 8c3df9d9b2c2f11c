-- name: sweep_cancels
-- rows: none
-- does: deletes requests to cancel jobs that have ended in the meantime, or are gone
-- locks: those requests (skip locked)
delete from trioworker.cancel_request
 where id = any (array(
    select request.id from trioworker.cancel_request as request
     where exists (
           select from trioworker.job_completed as done where done.id = request.id offset 0
       )
        or not exists (select from trioworker.job where job.id = request.id offset 0)
     order by request.id
       for update skip locked
 ))
