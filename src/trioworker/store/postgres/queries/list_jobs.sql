-- name: list_jobs
-- rows: many
-- does: ids of the newest $4 jobs with state $1, tag $2 and path $3 (null: any), older than id $5
-- locks: nothing
with running as materialized (
    select unnest(claim.ids) as id from trioworker.claim where $1 = 'running'
)
select job.id from trioworker.job
 where ($2::text is null or job.tag = $2) and ($3::text is null or job.path = $3)
   and ($5::uuid is null or job.id < $5)
   and case
         when $1::text is null then true
         when $1 = 'running' then job.id in (select running.id from running)
         when $1 = 'ready' then exists (
            select from trioworker.ready where ready.id = job.id and ready.scheduled_for <= now())
         when $1 = 'scheduled' then exists (
            select from trioworker.ready where ready.id = job.id and ready.scheduled_for > now())
         when $1 = 'waiting' then exists (
            select from trioworker.waiting where waiting.id = job.id)
         else exists (
            select from trioworker.job_completed as done where done.id = job.id and done.status = $1)
       end
 order by job.id desc
 limit $4
