"""The modelled PostgreSQL held against the real one: the same history on both, step by step.

Bottom up: `history` (what happens), `answers` (what was seen of it, made comparable), `modelled`
and `real` (the two sides), `compare` (the first difference, and what it takes to see it), `report`
(as a table to read); `scenes`, `arguments` and `histories` (Hypothesis makes them up), `scripts`
(those worth keeping), `explore` (many of them, counted).

Beside them, for `SimDatabase` against `PostgresDatabase`: `lines` (the two sides), `account` and
`cases`.
"""
