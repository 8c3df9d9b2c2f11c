create table bench_effect (job uuid primary key)
