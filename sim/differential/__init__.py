"""The modelled PostgreSQL held against the real one: the same history on both, step by step.

Bottom up: `history` (what happens), `answers` (what was seen of it, made comparable), `modelled`
and `real` (the two sides), `compare` (the first difference, as a table to read), `arguments` and
`histories` (Hypothesis makes them up), `explore` (many of them, counted).
"""
