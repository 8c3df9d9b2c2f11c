"""Arguments for the queries about ended jobs; the rule of `arguments.py` holds here, too."""

from math import nan
from typing import Any, Final, TypeAlias

from hypothesis import strategies as st

from sim.differential.history import BASE, HOUR, HOUR_S, JOBS, TAGS

Drawn: TypeAlias = st.SearchStrategy[tuple[Any, ...]]

LABELS: Final = ("a", "b")
NOTES: Final = st.sampled_from(("", "half", "half", "x" * 501, "nul \x00"))
FRACTIONS: Final = st.sampled_from((0.5, 0.5, 0.25, 1.0, 0.0, 1.5, nan))

_some_jobs: Final = st.lists(st.sampled_from(JOBS), min_size=1, max_size=3)
_counts: Final = st.sampled_from((10, 1, 2))
_labels: Final = st.sampled_from((*LABELS * 3, "", "nul \x00"))
_delays: Final = st.sampled_from((0.0, 2.0 * HOUR_S, 1e300))
_dead_letters: Final[Drawn] = st.tuples(
    st.sampled_from(("failure", "failure", "success", "canceled")),
    st.sampled_from((None, None, "path.0")),
    st.sampled_from((None, None, TAGS[0])),
    st.sampled_from((None, BASE - 2 * HOUR, BASE)),
    st.sampled_from((BASE + HOUR, BASE, BASE - 2 * HOUR)),
    st.sampled_from((None, JOBS[2])),
    st.sampled_from((100, 1)),
)


@st.composite
def _labelled(draw: st.DrawFn) -> tuple[Any, ...]:
    ids = draw(_some_jobs)
    return ids, [draw(_labels) for _ in ids]


@st.composite
def _expiring(draw: st.DrawFn) -> tuple[Any, ...]:
    ids = draw(_some_jobs)
    return ids, [draw(_delays) for _ in ids]


@st.composite
def _told(draw: st.DrawFn) -> tuple[Any, ...]:
    ids = draw(_some_jobs)
    drawn = [(draw(st.sampled_from((1, 2))), draw(FRACTIONS), draw(NOTES)) for _ in ids]
    return (ids, *(list(column) for column in zip(*drawn, strict=True)))


def endings() -> dict[str, Drawn]:
    """How to draw the arguments of each of these queries, by its name."""
    return {
        "dead_letters": _dead_letters,
        "delete_jobs": st.tuples(_some_jobs),
        "expired_jobs": st.tuples(_counts),
        "old_jobs": st.tuples(_counts, st.sampled_from((0.5 * HOUR_S, 9.0 * HOUR_S))),
        "job_origins": st.tuples(_some_jobs),
        "requeue_jobs": st.tuples(_some_jobs),
        "store_expiries": _expiring(),
        "store_labels": _labelled(),
        "store_progress": _told(),
    }
