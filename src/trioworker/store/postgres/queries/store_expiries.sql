-- name: store_expiries
-- rows: none
-- does: has ended jobs deleted later: $1 ids, $2 seconds from now
-- locks: only rows that it inserts, or those of these jobs
insert into trioworker.expiry (id, at)
select id, now() + after_s * interval '1 second'
  from unnest($1::uuid[], $2::float8[]) as ended (id, after_s)
    on conflict (id) do update set at = excluded.at
