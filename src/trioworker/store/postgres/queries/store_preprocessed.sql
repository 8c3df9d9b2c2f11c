-- name: store_preprocessed
-- rows: none
-- does: keeps the arguments $2 that scripts have made of those of the jobs $1
-- locks: the rows that it writes
insert into trioworker.job_preprocessed (id, args)
select id, args::jsonb from unnest($1::uuid[], $2::text[]) as made (id, args)
    on conflict (id) do update set args = excluded.args
