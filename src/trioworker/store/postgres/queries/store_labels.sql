-- name: store_labels
-- rows: none
-- does: gives ended jobs their labels: $1 ids, $2 labels
-- locks: only rows that it inserts
insert into trioworker.job_label (id, label)
select id, label from unnest($1::uuid[], $2::text[]) as given (id, label)
    on conflict (id, label) do nothing
