"""Arguments for the queries about schedules, drawn like the others."""

from typing import Any, Final

from hypothesis import strategies as st

from sim.differential.history import BASE, HOUR, JOBS, SCHEDULES

_names: Final = st.sampled_from(SCHEDULES)
_distinct: Final = st.lists(_names, min_size=1, max_size=3, unique=True)
_definitions: Final = st.sampled_from(('{"n": 1}',) * 4 + ("[]", "{", "nul \x00"))
_times: Final = st.sampled_from((BASE - HOUR, BASE - 2 * HOUR, BASE + HOUR))
_some_jobs: Final = st.lists(st.sampled_from(JOBS), min_size=1, max_size=3)


@st.composite
def _added(draw: st.DrawFn) -> tuple[Any, ...]:
    names = draw(st.one_of(_distinct, _distinct, st.just(["", SCHEDULES[0]])))
    return names, [draw(_definitions) for _ in names]


@st.composite
def _stored(draw: st.DrawFn) -> tuple[Any, ...]:
    rows = [
        (
            name,
            draw(st.one_of(st.none(), st.none(), _definitions)),
            draw(st.booleans()),
            draw(st.one_of(st.none(), _times)),
            draw(st.one_of(st.none(), st.sampled_from(JOBS))),
            draw(_times),
            draw(st.one_of(st.none(), _times, _times)),
            draw(st.sampled_from((0, 1, 7, 0, -1, 2**31))),
            draw(st.sampled_from((None, None, "a problem"))),
        )
        for name in draw(_distinct)
    ]
    return tuple(list(column) for column in zip(*rows, strict=True))


@st.composite
def _taken_back(draw: st.DrawFn) -> tuple[Any, ...]:
    ids = draw(_some_jobs)
    return ids, [draw(_times) for _ in ids]


SCHEDULE_QUERIES: Final[dict[str, st.SearchStrategy[tuple[Any, ...]]]] = {
    "add_schedules": _added(),
    "delete_schedules": st.tuples(_distinct),
    "due_schedules": st.tuples(st.sampled_from((10, 1, 2))),
    "hooked_jobs": st.tuples(_some_jobs),
    "list_schedules": st.tuples(st.one_of(st.none(), _distinct), st.sampled_from((10, 1))),
    "lock_schedules": st.tuples(_distinct),
    "store_schedules": _stored(),
    "take_back_jobs": _taken_back(),
    "unfinished_jobs": st.tuples(_some_jobs),
}
"""How to draw the arguments of each, by its name."""
