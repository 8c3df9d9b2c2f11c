-- name: store_running
-- rows: none
-- does: flush $9 of what worker $1's running jobs said: $2 claims, ids, attempts, pieces, $6 texts, …
-- locks: the claims concerned, in id order; then the pieces of log and the progress that it writes
--
-- Only what stands in a claim that is still this worker's: a job that was taken away, or has ended,
-- is another's to write about. The lock lets this and a commit of the job come one after the other,
-- so that what the commit stored is never overwritten by something older.
--
-- With its first piece a run drops what an earlier run of the same attempt, put off or interrupted,
-- has left behind. A flush that comes late or twice must do no such thing, so each claim has the
-- number of its last one; with that, or a smaller one, nothing is stored. A piece without text is
-- none; $7 and $8, fractions and notes, are null for a job that has told nothing new.
with held as materialized (
    select claim.id as claim, claim.ids, claim.attempts from trioworker.claim
     where claim.id = any ($2::uuid[]) and claim.worker = $1 and claim.flushed < $9::integer
     order by claim.id for update
),
counted as (
    update trioworker.claim set flushed = $9::integer from held
     where claim.id = any ($2::uuid[]) and claim.id = held.claim
),
said as materialized (
    select piece.* from held
     cross join lateral unnest(held.ids, held.attempts) as member (id, attempt)
     join unnest($3::uuid[], $4::integer[], $5::integer[], $6::text[], $7::float8[], $8::text[])
          as piece (id, attempt, chunk, text, fraction, note) using (id, attempt)
),
dropped as (
    delete from trioworker.job_log where ctid = any (array(
        select old.ctid from said cross join lateral (
            select log.ctid from trioworker.job_log as log
             where log.id = said.id and log.attempt = said.attempt and log.chunk > 0 offset 0
        ) as old
         where said.chunk = 0 and said.text <> ''
    ))
),
told as (
    insert into trioworker.job_progress (id, attempt, fraction, note)
    select id, attempt, fraction, note from said where fraction is not null
        on conflict (id) do update
       set attempt = excluded.attempt, fraction = excluded.fraction, note = excluded.note,
           told_at = excluded.told_at
)
insert into trioworker.job_log (id, attempt, chunk, text)
select id, attempt, chunk, text from said where text <> ''
    on conflict (id, attempt, chunk) do update set text = excluded.text
