"""Arguments for the queries of flows and approvals; the rule of `arguments.py` holds here, too."""

from typing import Any, Final, TypeAlias

from hypothesis import strategies as st

from sim.database.rows import DecisionRow, FlowRow, FlowStateRow, Row
from sim.differential.history import BASE, HOUR, JOBS, WORKERS

Drawn: TypeAlias = st.SearchStrategy[tuple[Any, ...]]

PATHS: Final = ("path.0", "path.1")
PEOPLE: Final = ("ann", "bob")
TOO_LONG_AGO: Final = 1_000
"""So many hours ago that no duration can say it."""

_some_jobs: Final = st.lists(st.sampled_from(JOBS), min_size=1, max_size=3)
_distinct_jobs: Final = st.lists(st.sampled_from(JOBS), min_size=1, max_size=3, unique=True)
_whose: Final = st.sampled_from((None, None, WORKERS[0]))
_roots: Final = st.sampled_from(JOBS[:3])
_states: Final = st.sampled_from(('{"n": 1}', '{"n": 1}', '{"n": 2}', '"\\u0000"', "{"))
_ends: Final = st.sampled_from(
    (
        ("success", '"done"', None),
        ("success", '{"a": [1]}', None),
        ("failure", None, '{"name": "Boom", "message": "it broke"}'),
        ("canceled", None, '{"name": "Cancelled", "message": "x"}'),
    )
)
_bad_ends: Final = st.sampled_from(
    (
        ("splendid", None, None),
        ("success", '"a\\u0000"', None),
        ("success", "{", None),
        ("failure", None, '{"message": "\x00"}'),
    )
)


@st.composite
def _endings(draw: st.DrawFn) -> list[list[Any]]:
    """Columns for the ends of jobs, one of them seldom impossible."""
    ids = draw(_distinct_jobs)
    ends = [draw(_ends) for _ in ids]
    if draw(st.sampled_from((False, False, False, True))):
        ends[0] = draw(_bad_ends)
    return [ids, *(list(column) for column in zip(*ends, strict=True))]


@st.composite
def _end_flows(draw: st.DrawFn) -> tuple[Any, ...]:
    columns = draw(_endings())
    counts = [[draw(st.sampled_from(few)) for _ in columns[0]] for few in ((1, 2), (0, 1))]
    return (*columns, *counts, draw(st.sampled_from((*WORKERS[:2], None))))


@st.composite
def _store_flows(draw: st.DrawFn) -> tuple[Any, ...]:
    """How far some flows are, seldom one of them twice."""
    ids = draw(st.one_of(_distinct_jobs, _distinct_jobs, _distinct_jobs, _some_jobs))
    rows: list[list[Any]] = [
        [id_, draw(_roots), draw(st.sampled_from(PATHS)), 1, '{"n": 3}', 1, 0, draw(_whose)]
        for id_ in ids
    ]
    rows[0][4] = draw(_states)
    if draw(st.sampled_from((False, False, False, True))):
        column, value = draw(st.sampled_from(((5, 0), (6, -1), (6, 40_000), (2, "p\x00"))))
        rows[0][4], rows[0][column] = "{}", value
    return tuple(list(column) for column in zip(*rows, strict=True))


_decisions: Final[Drawn] = st.one_of(
    st.tuples(st.sampled_from(JOBS), st.sampled_from(PEOPLE), st.booleans(), st.just('{"n": 1}')),
    st.tuples(
        st.sampled_from(JOBS),
        st.sampled_from((*PEOPLE, "", "x" * 201, "nul \x00")),
        st.just(True),  # noqa: FBT003 - a value
        st.just("{}"),
    ),
    st.tuples(st.sampled_from(JOBS), st.just("cat"), st.booleans(), st.sampled_from(("{", "[]"))),
)


def flows() -> dict[str, Drawn]:
    """How to draw the arguments of each of these queries, by its name."""
    return {
        "due_approvals": st.tuples(st.sampled_from((10, 1, 2))),
        "end_approvals": _endings().map(tuple),
        "end_flows": _end_flows(),
        "ended_steps": st.tuples(_some_jobs),
        "lock_flows": st.tuples(_some_jobs),
        "lock_flows_of": st.tuples(_some_jobs),
        "newest_flows": st.tuples(
            st.lists(st.sampled_from((*PATHS, "path.9")), min_size=1, max_size=3, unique=True)
        ),
        "read_approval": st.tuples(st.sampled_from(JOBS)),
        "read_flows": st.tuples(_distinct_jobs),
        "store_decision": _decisions,
        "store_flows": _store_flows(),
    }


def under_way(index: int, root: int, attempt: int, reaped: int, hours: int) -> FlowStateRow:
    """A flow that began so many hours from the beginning."""
    return FlowStateRow(
        id=JOBS[index],
        root=JOBS[root],
        path=PATHS[index % 2],
        version=1 + reaped % 2,
        state='{"n": 0}',
        attempt=attempt,
        reaped=reaped,
        worker=WORKERS[root] if attempt > 1 else None,
        began_at=BASE + hours * HOUR,
    )


def _definition(version: int) -> str:
    anew = ', "on_worker_lost": "restart"' if version == 1 else ""
    return f'{{"v": {version}{anew}}}'


@st.composite
def known_flows(draw: st.DrawFn) -> dict[str, list[Row]]:
    """The definitions that there are, and what has been said of approvals."""
    places = st.tuples(st.sampled_from(PATHS), st.sampled_from((1, 2, 10)))
    definitions: list[Row] = [
        FlowRow(path=path, version=version, definition=_definition(version), created_at=BASE)
        for path, version in draw(st.lists(places, unique=True, max_size=4))
    ]
    saying = st.tuples(st.sampled_from(JOBS), st.sampled_from(PEOPLE))
    said: list[Row] = [
        DecisionRow(
            job=job, by=by, approved=draw(st.booleans()), form="{}",
            decided_at=BASE - draw(st.sampled_from((1, 2))) * HOUR,
        )
        for job, by in draw(st.lists(saying, unique=True, max_size=3))
    ]  # fmt: skip
    return {"flow": definitions, "decision": said}
