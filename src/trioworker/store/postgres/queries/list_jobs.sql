-- name: list_jobs
-- rows: many
-- does: ids of the newest $4 jobs older than $5 of state $1, tag $2, path $3, label $6 (null: any)
-- locks: nothing
--
-- One branch per place where a job can stand, each read from its newest end, so that few failures
-- among a million successes are found at once. Branches that $1 does not mean are not run. Labels
-- are of jobs that have ended, and have a branch of their own.
with asked as materialized (
    select coalesce($5::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff') as before
),
running as materialized (
    select unnest(claim.ids) as id from trioworker.claim where $1::text = 'running' and $6::text is null
),
found as (
    (select id from trioworker.job_label as given
      where $6 is not null and label = $6 and id < (select before from asked)
        and ($1 is null
             or (select status = $1 from trioworker.job_completed as done where done.id = given.id))
        and (select ($2::text is null or tag = $2) and ($3::text is null or path = $3)
               from trioworker.job where job.id = given.id)
      order by id desc limit $4)
    union all
    (select id from trioworker.job
      where $1 is null and $6 is null and id < (select before from asked)
        and ($2::text is null or tag = $2) and ($3::text is null or path = $3)
      order by id desc limit $4)
    union all
    (select id from trioworker.ready
      where $1 in ('ready', 'scheduled') and $6 is null and (scheduled_for > now()) = ($1 = 'scheduled')
        and id < (select before from asked) and ($2 is null or tag = $2)
        and ($3 is null or (select path = $3 from trioworker.job where job.id = ready.id))
      order by id desc limit $4)
    union all
    (select id from trioworker.waiting
      where $1 = 'waiting' and $6 is null and id < (select before from asked)
        and (select ($2 is null or tag = $2) and ($3 is null or path = $3)
               from trioworker.job where job.id = waiting.id)
      order by id desc limit $4)
    union all
    (select id from trioworker.flow_state as under_way
      where $1 = 'waiting' and $6 is null and id < (select before from asked)
        and (select ($2 is null or tag = $2) and ($3 is null or path = $3)
               from trioworker.job where job.id = under_way.id)
      order by id desc limit $4)
    union all
    (select id from running
      where id < (select before from asked)
        and (select ($2 is null or tag = $2) and ($3 is null or path = $3)
               from trioworker.job where job.id = running.id)
      order by id desc limit $4)
    union all
    (select id from trioworker.job_completed as done
      where $1 = 'success' and $6 is null and status = 'success' and id < (select before from asked)
        and (select ($2 is null or tag = $2) and ($3 is null or path = $3)
               from trioworker.job where job.id = done.id)
      order by id desc limit $4)
    union all
    (select id from trioworker.job_completed as done
      where status = $1 and $6 is null and status <> 'success' and id < (select before from asked)
        and (select ($2 is null or tag = $2) and ($3 is null or path = $3)
               from trioworker.job where job.id = done.id)
      order by id desc limit $4)
)
select id from found order by id desc limit $4
