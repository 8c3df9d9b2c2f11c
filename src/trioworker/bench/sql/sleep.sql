select pg_sleep(86400)
