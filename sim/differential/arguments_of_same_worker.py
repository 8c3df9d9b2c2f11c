"""Arguments for the queries of steps that share a worker; the rule of `arguments.py` holds here."""

from typing import Any, Final, TypeAlias

from hypothesis import strategies as st

from sim.differential.history import CLAIMS, JOBS, WORKERS

Drawn: TypeAlias = st.SearchStrategy[tuple[Any, ...]]

SHARED: Final = '{"step": {"flow": "1", "shared": "1"}}'
"""What a step asks for that nobody else may run."""

_some_jobs: Final = st.lists(st.sampled_from(JOBS), min_size=1, max_size=3)
_distinct_jobs: Final = st.lists(st.sampled_from(JOBS), min_size=1, max_size=3, unique=True)
_workers: Final = st.sampled_from(WORKERS)
_errors: Final = st.sampled_from(
    ('{"name": "WorkerLost"}', '{"name": "WorkerLost"}', '{"name": "\\u0000"}', "{", "nul \x00")
)


@st.composite
def _restart(draw: st.DrawFn) -> tuple[Any, ...]:
    ids = draw(_distinct_jobs)
    return (ids, [draw(st.booleans()) for _ in ids])


def same_worker() -> dict[str, Drawn]:
    """How to draw the arguments of each of these queries, by its name."""
    return {
        "end_stranded": st.tuples(_some_jobs, _errors),
        "hand_over": st.tuples(st.sampled_from((*CLAIMS[3:], *CLAIMS)), _workers, _distinct_jobs),
        "kept_flows": st.tuples(_workers, _some_jobs),
        "lost_flows": st.tuples(st.sampled_from((10, 1, 2))),
        "read_lost_flows": st.tuples(
            _some_jobs, st.lists(_workers, min_size=1, max_size=3, unique=True)
        ),
        "restart_flows": _restart(),
    }
