"""The scenarios on a real PostgreSQL: the same plans, workers and oracles, and nothing modelled."""
