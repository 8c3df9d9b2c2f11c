"""Arguments for the queries about ended jobs; the rule of `arguments.py` holds here, too."""

from typing import Any, Final, TypeAlias

from hypothesis import strategies as st

from sim.differential.history import JOBS

Drawn: TypeAlias = st.SearchStrategy[tuple[Any, ...]]

_some_jobs: Final = st.lists(st.sampled_from(JOBS), min_size=1, max_size=3)


def endings() -> dict[str, Drawn]:
    """How to draw the arguments of each of these queries, by its name."""
    return {"job_origins": st.tuples(_some_jobs)}
