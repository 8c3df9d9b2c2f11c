"""How each kind of job is run: a job in, an outcome out. Runners know no database."""
