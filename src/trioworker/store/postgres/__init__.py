"""The store on PostgreSQL: named statements, run in transactions, over a few connections."""
