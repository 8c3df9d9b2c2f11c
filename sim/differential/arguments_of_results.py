"""Arguments for the queries of the result cache; the rule of `arguments.py` holds here, too."""

from typing import Any, Final, TypeAlias

from hypothesis import strategies as st

from sim.database.rows import ResultRow, Row
from sim.differential.history import BASE, HOUR, HOUR_S, JOBS

Drawn: TypeAlias = st.SearchStrategy[tuple[Any, ...]]

KEYS: Final = ("r1", "r2", "r3")

_keys: Final = st.lists(st.sampled_from(KEYS), min_size=1, max_size=2, unique=True)
_results: Final = st.sampled_from(('"kept"', '"other"', '"kept"', '"a\\u0000"'))


@st.composite
def _store(draw: st.DrawFn) -> tuple[Any, ...]:
    keys = draw(_keys)
    jobs = [draw(st.sampled_from(JOBS)) for _ in keys]
    results = ['"kept"' for _ in keys]
    results[0] = draw(_results)
    return keys, jobs, results, [draw(st.sampled_from((HOUR_S, 0.0))) for _ in keys]


def results() -> dict[str, Drawn]:
    """How to draw the arguments of each of these queries, by its name."""
    return {
        "cached_results": st.tuples(_keys),
        "store_results": _store(),
        "forget_results": st.tuples(st.sampled_from((10, 1))),
    }


@st.composite
def kept_results(draw: st.DrawFn) -> list[Row]:
    """Which results are kept, some of them past their time."""
    return [
        ResultRow(
            key=key,
            job=JOBS[0],
            result='"old"',
            stored_at=BASE - 2 * HOUR,
            expires_at=BASE + draw(st.sampled_from((-1, 1))) * (number + 1) * HOUR,
        )
        for number, key in enumerate(draw(_keys | st.just([])))
    ]
