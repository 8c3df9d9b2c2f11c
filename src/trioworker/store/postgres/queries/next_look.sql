-- name: next_look
-- rows: one
-- does: seconds until a key needs a look because of the time, 0 when a job does; null when none does
-- locks: nothing
select case when exists (select from trioworker.waiting where fresh) then 0
            else (
                select extract(epoch from min(look_at) - clock_timestamp())::float8
                  from trioworker.concurrency where look_at is not null
            )
       end as seconds
