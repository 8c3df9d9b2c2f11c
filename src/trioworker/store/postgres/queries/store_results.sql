-- name: store_results
-- rows: none
-- does: keeps results for equal jobs: $1 keys, $2 jobs, $3 results, $4 for how many seconds
-- locks: the rows of the keys, in their order
insert into trioworker.result_cache (key, job, result, expires_at)
select key, job, result::jsonb, now() + ttl_s * interval '1 second'
  from unnest($1::text[], $2::uuid[], $3::text[], $4::float8[]) as kept (key, job, result, ttl_s)
 order by key
    on conflict (key) do update
   set job = excluded.job, result = excluded.result, stored_at = excluded.stored_at,
       expires_at = excluded.expires_at
