"""Arguments for the queries of concurrency limits; the rule of `arguments.py` holds here, too."""

from typing import Any, Final, TypeAlias

from hypothesis import strategies as st

from sim.differential.history import BASE, HOUR, HOUR_S, JOBS, KEYS

Drawn: TypeAlias = st.SearchStrategy[tuple[Any, ...]]

LIMITED: Final = '{"limit": {"key": "k", "slots": 2}}'
"""The options of a job with a limit."""

_keys: Final = st.lists(st.sampled_from(KEYS), min_size=1, max_size=2, unique=True)
_jobs: Final = st.lists(st.sampled_from(JOBS), max_size=3, unique=True)
_counts: Final = st.sampled_from((10, 1, 2))


@st.composite
def _lock(draw: st.DrawFn) -> tuple[Any, ...]:
    """Keys, some with a limit that is said now or was said before, one seldom impossible."""
    keys = draw(_keys)
    slots = st.sampled_from((None, None, 1, 2, 3, 2, 1, 0))
    windows = st.sampled_from((None, 2.0 * HOUR_S))
    said = st.sampled_from((None, BASE - 2 * HOUR, BASE + HOUR))
    columns = [[draw(values) for _ in keys] for values in (slots, windows, said)]
    return draw(_jobs), keys, *columns


@st.composite
def _release(draw: st.DrawFn) -> tuple[Any, ...]:
    ids = draw(_jobs)
    return ids, [draw(st.booleans()) for _ in ids]


@st.composite
def _take(draw: st.DrawFn) -> tuple[Any, ...]:
    ids = draw(_jobs)
    return ids, [draw(st.sampled_from(KEYS)) for _ in ids]


def limits() -> dict[str, Drawn]:
    """How to draw the arguments of each of these queries, by its name."""
    return {
        "due_limits": st.tuples(_counts),
        "limit_drift": st.tuples(_counts),
        "place_in_line": st.tuples(st.sampled_from(JOBS)),
        "lock_limits": _lock(),
        "mend_looks": st.tuples(_counts),
        "next_look": st.just(()),
        "plan_looks": st.tuples(_keys),
        "promote": st.tuples(_keys),
        "release_slots": _release(),
        "take_slots": _take(),
    }
