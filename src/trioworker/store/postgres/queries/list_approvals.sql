-- name: list_approvals
-- rows: many
-- does: the first $1 approvals that people have to decide about, those first whose time is over first
-- locks: nothing
select id from trioworker.waiting where reason = 'approval' and key is null order by until, id
 limit $1
