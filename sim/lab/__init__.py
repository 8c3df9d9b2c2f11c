"""The laboratory: one run for a human to look at, many runs to look through.

Bottom up: `names` (job 07, claim c3), `chronicle` (what a trace means, in words), `story`,
`timeline` and `perfetto` (three ways to show it), `trial` and `given` (a run, and what the command
line asks for), `commands` (the tree of `python -m sim`).
"""
