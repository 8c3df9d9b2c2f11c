set transaction isolation level repeatable read;
select txid_current_snapshot()
