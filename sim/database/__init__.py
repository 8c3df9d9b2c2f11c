"""The modelled PostgreSQL: what our statements can tell apart from the real one, and no more.

Bottom up: `rows` (what the tables hold), `values` (what a column refuses), `table` (row versions),
`transaction` (snapshots, locks, waits, deadlocks), `statement` (what a query model may do),
`models` (one function per named query), `server` (commits, clock, notifications, crashes) and
`client` (the `Database` that workers are given: lanes, latency, faults).
"""
