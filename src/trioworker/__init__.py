"""trioworker: a job worker for PostgreSQL that works in batches, written on Trio."""
