"""Arguments for the queries of children and steps; the rule of `arguments.py` holds here, too."""

from typing import Any, Final, TypeAlias
from uuid import UUID

from hypothesis import strategies as st

from sim.database.rows import ParentRow, Row, StepRow
from sim.differential.history import BASE, HOUR, JOBS, WORKERS

Drawn: TypeAlias = st.SearchStrategy[tuple[Any, ...]]
Batch: TypeAlias = tuple[UUID, list[UUID], list[tuple[UUID, int]]]
"""A worker, claims that may be its, and attempts that may be in them."""

NAMES: Final = ("s1", "s2")

_jobs: Final = st.lists(st.sampled_from(JOBS), min_size=1, max_size=3)
_limits: Final = st.sampled_from((10, 1, 2))
_results: Final = st.sampled_from(("1", "1", "2", '"a\\u0000"', "{"))


@st.composite
def _hold(draw: st.DrawFn, batches: st.SearchStrategy[Batch]) -> tuple[Any, ...]:
    worker, claims, jobs = draw(batches)
    attempts = dict(jobs)
    tries = [draw(st.sampled_from((1, 2, 1, 0, 3))) for _ in attempts]
    return worker, claims, list(attempts), list(attempts.values()), tries


@st.composite
def _steps(draw: st.DrawFn, batches: st.SearchStrategy[Batch]) -> tuple[Any, ...]:
    worker, claims, jobs = draw(batches)
    names = [draw(st.sampled_from((*NAMES, *NAMES, "", "s\x00"))) for _ in jobs]
    results = ["1" for _ in jobs]
    if "" not in names and "s\x00" not in names:
        results[0] = draw(_results)
    ids, attempts = [id_ for id_, _ in jobs], [attempt for _, attempt in jobs]
    return worker, claims, ids, attempts, names, results


@st.composite
def _known(draw: st.DrawFn) -> tuple[Any, ...]:
    ids = draw(_jobs)
    parents = [draw(st.sampled_from((JOBS[0], JOBS[1]))) for _ in ids]
    args = [draw(st.sampled_from(("{}", '{ "n":1 }'))) for _ in ids]
    return ids, parents, ["noop"] * len(ids), ["path"] * len(ids), args


def workflow(batches: st.SearchStrategy[Batch]) -> dict[str, Drawn]:
    """How to draw the arguments of each of these queries, by its name."""
    return {
        "hold_parents": _hold(batches),
        "known_children": _known(),
        "child_ends": st.tuples(_jobs),
        "own_children": st.tuples(st.sampled_from(WORKERS), _jobs),
        "job_steps": st.tuples(st.sampled_from(JOBS)),
        "store_steps": _steps(batches),
        "ended_parents": st.tuples(_limits),
        "forget_parents": st.tuples(_jobs),
        "children": st.tuples(st.sampled_from(JOBS), st.sampled_from((100, 1))),
    }


@st.composite
def known_parents(draw: st.DrawFn) -> dict[str, list[Row]]:
    """Which jobs have had children, and which steps have been done."""
    parents: list[Row] = [
        ParentRow(id=id_, tries=1, since=BASE + draw(st.sampled_from((-3, -1, 1))) * HOUR)
        for id_ in sorted(draw(st.sets(st.sampled_from(JOBS), max_size=4)))
    ]
    steps: list[Row] = [
        StepRow(job=JOBS[0], name=NAMES[0], result="0", at=BASE - HOUR)
        for _ in range(draw(st.sampled_from((0, 1))))
    ]
    return {"parent": parents, "job_step": steps}
