-- name: store_decision
-- rows: none
-- does: notes what $2 says of the approval $1: yes or no, $3, with the form $4
-- locks: only the row that it inserts
insert into trioworker.decision (job, by, approved, form) values ($1, $2, $3, $4::jsonb)
