-- name: old_jobs
-- rows: many
-- does: locks the $1 oldest jobs of either sort that ended more than $2 seconds ago; their ids
-- locks: their rows in job_completed, in id order and by the time of their end (skip locked)
--
-- No job ends before its id was made, so those that ended long ago have low ids. An id that is no
-- UUIDv7 says nothing; those are the other sort, with an index by the time of their end. What a job
-- that has not ended may still ask for stays: the results of a flow's steps, or of its children.
with bound as materialized (
    select now() - $2::float8 * interval '1 second' as before
),
made as materialized (
    select done.id from trioworker.job_completed as done
     where done.id < (
           select lpad(to_hex((extract(epoch from before) * 1000)::bigint), 12, '0')
                  || '00000000000000000000' from bound
           )::uuid
       and get_byte(uuid_send(done.id), 6) >> 4 = 7
       and done.completed_at < (select before from bound)
       and not exists (
           select from trioworker.job
            where job.id = done.id
              and exists (select from trioworker.job as above where above.id = job.parent offset 0)
              and not exists (
                  select from trioworker.job_completed as ended where ended.id = job.parent offset 0
              )
           offset 0
       )
     order by done.id
     limit $1::bigint for update skip locked
),
foreign_made as materialized (
    select done.id from trioworker.job_completed as done
     where get_byte(uuid_send(done.id), 6) >> 4 <> 7
       and done.completed_at < (select before from bound)
       and not exists (
           select from trioworker.job
            where job.id = done.id
              and exists (select from trioworker.job as above where above.id = job.parent offset 0)
              and not exists (
                  select from trioworker.job_completed as ended where ended.id = job.parent offset 0
              )
           offset 0
       )
     order by done.completed_at
     limit $1 for update skip locked
)
select id from made union all select id from foreign_made
