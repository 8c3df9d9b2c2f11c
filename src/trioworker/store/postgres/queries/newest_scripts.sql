-- name: newest_scripts
-- rows: many
-- does: the newest version of each deployed script $1, without its text
-- locks: nothing
select newest.path, newest.version, newest.hash, newest.language, newest.dedicated,
       newest.requirements, newest.lock
  from unnest($1::text[]) as asked (path)
 cross join lateral (
    select * from trioworker.script where script.path = asked.path
     order by version desc
     limit 1
 ) as newest
