-- name: take_back_jobs
-- rows: many
-- does: deletes those of the jobs $1, due at $2, that never began, as if they had not been; their ids
-- locks: their rows in ready and waiting (skip locked), then in job
--
-- Whom somebody else holds at this moment begins just now, or is cancelled: it is left alone, as is
-- one that waits for another attempt, or to go on.
with ready_ones as materialized (
    select ctid as place from trioworker.ready
     where id = any ($1::uuid[]) and scheduled_for = any ($2::timestamptz[])
       and attempt = 1 and reaped = 0
     order by id for update skip locked
),
waiting_ones as materialized (
    select id from trioworker.waiting
     where id = any ($1::uuid[]) and scheduled_for = any ($2) and attempt = 1 and reaped = 0
     order by id for update skip locked
),
taken as (
    delete from trioworker.ready where ctid = any (array(select place from ready_ones))
    returning id
),
released as (
    delete from trioworker.waiting where id = any (array(select waiting_ones.id from waiting_ones))
    returning id
)
delete from trioworker.job
 where id = any (array(select id from taken union all select id from released))
returning id
