"""What `make run` shows: thousands of real jobs through an embedded PostgreSQL, in batches."""
