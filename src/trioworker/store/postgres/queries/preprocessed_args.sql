-- name: preprocessed_args
-- rows: many
-- does: the arguments that a script has made of those of the job $1, if it has
-- locks: nothing
select args from trioworker.job_preprocessed where id = $1::uuid
