-- name: dead_letters
-- rows: many
-- does: the first $7 jobs after id $6 that ended as $1, since $4 and up to $5, of path $2 and tag $3
-- locks: nothing
--
-- Read from the index of those that did not succeed. A path, a tag or a time that is null is any.
select done.id from trioworker.job_completed as done
 where done.status = $1::text and done.status <> 'success'
   and done.id > coalesce($6::uuid, '00000000-0000-0000-0000-000000000000')
   and ($4::timestamptz is null or done.completed_at >= $4) and done.completed_at <= $5::timestamptz
   and (select ($2::text is null or path = $2) and ($3::text is null or tag = $3)
          from trioworker.job where job.id = done.id)
 order by done.id limit $7::bigint
