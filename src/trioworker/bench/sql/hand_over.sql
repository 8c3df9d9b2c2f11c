insert into bench_effect (job) values ($1)
