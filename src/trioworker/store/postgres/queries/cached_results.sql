-- name: cached_results
-- rows: many
-- does: the results that are kept under the keys $1, which job's each is, and its age in seconds
-- locks: nothing
select cache.key, cache.job, extract(epoch from now() - cache.stored_at)::float8 as age_s,
       cache.result
  from unnest($1::text[]) as asked (key)
 cross join lateral (
    select * from trioworker.result_cache where result_cache.key = asked.key offset 0
 ) as cache
