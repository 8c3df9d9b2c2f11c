-- name: store_attempts
-- rows: none
-- does: keeps failed attempts of worker $1: $2 ids, $3 attempts, $4 errors, $5 ages, $6 durations
-- locks: only rows that it inserts
insert into trioworker.job_attempt (id, attempt, error, worker, started_at, duration_ms)
select id, attempt, error::jsonb, $1, now() - age_s * interval '1 second', duration_ms
  from unnest($2::uuid[], $3::integer[], $4::text[], $5::float8[], $6::integer[])
       as failed (id, attempt, error, age_s, duration_ms)
    on conflict (id, attempt) do nothing
