-- name: list_jobs
-- rows: many
-- does: ids of the newest $4 jobs with state $1, tag $2 and path $3 (null: any), older than id $5
-- locks: nothing
--
-- One branch per place where a job can stand, each read from its newest end, so that few failures
-- among a million successes are found at once. Branches that $1 does not mean are not run.
with asked as materialized (
    select coalesce($5::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff') as before
),
running as materialized (
    select unnest(claim.ids) as id from trioworker.claim where $1::text = 'running'
),
found as (
    (select id from trioworker.job
      where $1 is null and id < (select before from asked)
        and ($2::text is null or tag = $2) and ($3::text is null or path = $3)
      order by id desc limit $4)
    union all
    (select id from trioworker.ready
      where $1 in ('ready', 'scheduled') and (scheduled_for > now()) = ($1 = 'scheduled')
        and id < (select before from asked) and ($2 is null or tag = $2)
        and ($3 is null or (select path = $3 from trioworker.job where job.id = ready.id))
      order by id desc limit $4)
    union all
    (select id from trioworker.waiting
      where $1 = 'waiting' and id < (select before from asked)
        and (select ($2 is null or tag = $2) and ($3 is null or path = $3)
               from trioworker.job where job.id = waiting.id)
      order by id desc limit $4)
    union all
    (select id from running
      where id < (select before from asked)
        and (select ($2 is null or tag = $2) and ($3 is null or path = $3)
               from trioworker.job where job.id = running.id)
      order by id desc limit $4)
    union all
    (select id from trioworker.job_completed as done
      where $1 = 'success' and status = 'success' and id < (select before from asked)
        and (select ($2 is null or tag = $2) and ($3 is null or path = $3)
               from trioworker.job where job.id = done.id)
      order by id desc limit $4)
    union all
    (select id from trioworker.job_completed as done
      where status = $1 and status <> 'success' and id < (select before from asked)
        and (select ($2 is null or tag = $2) and ($3 is null or path = $3)
               from trioworker.job where job.id = done.id)
      order by id desc limit $4)
)
select id from found order by id desc limit $4
