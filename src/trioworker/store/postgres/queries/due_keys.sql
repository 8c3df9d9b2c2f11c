-- name: due_keys
-- rows: many
-- does: up to $1 keys that nobody has taken for a while
-- locks: those keys' rows (skip locked)
--
-- Whether anything holds them is asked in a later statement: one that has just been taken may be
-- held by a job that this one does not see yet.
select sort, key from trioworker.unique_key
 where look_at <= now()
 order by look_at, sort, key limit $1 for update skip locked
