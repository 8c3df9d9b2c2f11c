-- All changes by transaction, in the order of the commits.
select change.transaction::text::bigint, change.started, change.actor,
       pg_xact_commit_timestamp(change.xmin), change.changed, change.before::text, change.after::text
  from sim.change
 order by pg_xact_commit_timestamp(change.xmin), change.transaction, change.number
