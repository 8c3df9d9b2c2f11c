"""Arguments for the queries of unique keys; the rule of `arguments.py` holds here, too."""

from typing import Any, Final, TypeAlias

from hypothesis import strategies as st

from sim.database.rows import Row, UniqueKeyRow
from sim.differential.history import BASE, HOUR, HOUR_S, JOBS, KEYS

Drawn: TypeAlias = st.SearchStrategy[tuple[Any, ...]]

SORTS: Final = ("unique", "debounce")

_places: Final = st.lists(
    st.tuples(st.sampled_from(("unique", *SORTS)), st.sampled_from(KEYS)),
    min_size=1,
    max_size=2,
    unique=True,
).map(sorted)
_job: Final = st.sampled_from(JOBS)
_kinds: Final = st.sampled_from(
    (
        ("unfinished", None, None),
        ("queued", None, None),
        ("period", BASE + 2 * HOUR, None),
        ("period", BASE - HOUR, None),
        (None, None, BASE - HOUR),
    )
)
"""During, until, since."""
_broken: Final = st.sampled_from((("period", None, None), ("ever", None, None)))


@st.composite
def _take(draw: st.DrawFn) -> tuple[Any, ...]:
    """Who takes keys, seldom for a time that there is not."""
    places = draw(_places)
    kinds = _broken if draw(st.integers(0, 5)) == 0 else _kinds
    rows = [(*place, draw(_job), *draw(kinds)) for place in places]
    return *(list(column) for column in zip(*rows, strict=True)), 2.0 * HOUR_S


@st.composite
def _holders(draw: st.DrawFn) -> tuple[Any, ...]:
    places = draw(_places)
    return [draw(_job) for _ in places], *_columns(places)


@st.composite
def _replace(draw: st.DrawFn) -> tuple[Any, ...]:
    ids = draw(st.lists(_job, min_size=1, max_size=3))
    return ids, [draw(_job) for _ in ids]


@st.composite
def _forgotten(draw: st.DrawFn) -> tuple[Any, ...]:
    places = draw(_places)
    return (*_columns(places), [draw(st.booleans()) for _ in places], 2.0 * HOUR_S)


def _columns(places: list[tuple[str, str]]) -> tuple[list[str], list[str]]:
    return [sort for sort, _ in places], [key for _, key in places]


def keys() -> dict[str, Drawn]:
    """How to draw the arguments of each of these queries, by its name."""
    return {
        "due_keys": st.tuples(st.sampled_from((10, 1))),
        "forget_keys": _forgotten(),
        "key_holders": _holders(),
        "lock_keys": st.lists(st.sampled_from([("unique", k) for k in KEYS]), max_size=3).map(
            _columns
        ),
        "replace_jobs": _replace(),
        "take_keys": _take(),
    }


@st.composite
def taken_keys(draw: st.DrawFn) -> list[Row]:
    """Which keys there are, and who took them last."""
    return [_row(draw, *place) for place in draw(_places | st.just([]))]


def _row(draw: st.DrawFn, sort: str, key: str) -> Row:
    during, until, first_at = draw(_kinds)
    job = draw(st.none() | _job | _job)
    look_at = draw(st.sampled_from((BASE - HOUR, BASE + HOUR)))
    return UniqueKeyRow(
        sort=sort,
        key=key,
        job=job,
        during=during,
        until=until,
        first_at=first_at,
        look_at=look_at,
    )
