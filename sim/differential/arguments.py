"""Arguments for every named query, drawn so that sessions meet and values are sometimes refused.

Rule of this file: at most one thing is wrong with a statement. Which of two errors comes first is
not worth modelling: either way nothing is stored.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeAlias, cast
from uuid import UUID

from hypothesis import strategies as st

from sim.database.rows import ClaimRow
from sim.differential.arguments_of_endings import FRACTIONS, LABELS, NOTES, endings
from sim.differential.arguments_of_flow_admin import flow_admin
from sim.differential.arguments_of_flows import PATHS, flows
from sim.differential.arguments_of_keys import keys
from sim.differential.arguments_of_limits import LIMITED, limits
from sim.differential.arguments_of_results import results
from sim.differential.arguments_of_same_worker import SHARED, same_worker
from sim.differential.arguments_of_scripts import scripts
from sim.differential.arguments_of_tokens import tokens, whose
from sim.differential.arguments_of_workflow import workflow
from sim.differential.arguments_schedules import SCHEDULE_QUERIES
from sim.differential.history import (
    BASE,
    CLAIMS,
    HOUR,
    HOUR_S,
    JOBS,
    SCHEDULES,
    TAGS,
    WORKERS,
    Scene,
)

Arguments: TypeAlias = tuple[Any, ...]
Columns: TypeAlias = list[list[Any]]
Drawn: TypeAlias = st.SearchStrategy[Arguments]

_jobs: Final = st.sampled_from(JOBS)
_workers: Final = st.sampled_from(WORKERS)
_some_jobs: Final = st.lists(_jobs, min_size=1, max_size=3)
_distinct_jobs: Final = st.lists(_jobs, min_size=1, max_size=3, unique=True)
_ranks: Final = st.sampled_from((0, 5, 0, -5))
_some_tags: Final = st.sampled_from(([TAGS[0]], list(TAGS), [TAGS[1]]))
_limits: Final = st.sampled_from((10, 1, 2))
_reasons: Final = st.sampled_from(("enough", "enough", "enough", "en\x00ough"))
_attempts: Final = st.sampled_from((1, 1, 1, 2))


def _once_in(times: int) -> st.SearchStrategy[bool]:
    return st.sampled_from((False,) * (times - 1) + (True,))


# ---- enqueue ----------------------------------------------------------------------------------

ENQUEUE_COLUMNS: Final = 11
_BAD_JOBS: Final[Sequence[tuple[int, Any]]] = (
    (1, "poem"),
    (2, ""),
    (2, "p\x00"),
    (3, '"\\u0000"'),
    (3, "{"),
    (3, "1e999999"),
    (4, "t" * 121),
    (5, 1001),
    (5, 40_000),
    (7, "[]"),
    (7, '{"limit": {"slots": 0}}'),
    (7, '{"limit": {"slots": 1, "window_s": -1}}'),
    (9, "\ud800"),
)
"""Column and value."""


@st.composite
def enqueue(draw: st.DrawFn) -> Arguments:
    """A few jobs, seldom the same one twice."""
    ids = draw(st.one_of(_distinct_jobs, _distinct_jobs, _distinct_jobs, _some_jobs))
    rows = [draw(_new_job(id_)) for id_ in ids]
    if draw(_once_in(3)):
        column, value = draw(st.sampled_from(_BAD_JOBS))
        rows[0][column] = value
    return tuple(list(column) for column in zip(*rows, strict=True))


@st.composite
def _new_job(draw: st.DrawFn, id_: UUID) -> list[Any]:
    due = draw(st.sampled_from((None, BASE - HOUR, BASE - HOUR, BASE + HOUR, BASE - 2 * HOUR)))
    tag = draw(st.sampled_from(TAGS))
    priority = draw(st.sampled_from((0, 0, 10, -5)))
    options = draw(st.sampled_from((None, '{"retry": 2}', '{"deadline": "soon"}', LIMITED, SHARED)))
    parent = draw(st.sampled_from((None, None, JOBS[0], JOBS[1])))
    awaited = draw(st.booleans())
    kind = draw(st.sampled_from(("noop", "noop", "flow", "approval")))
    return [id_, kind, "path", '{"n": 1}', tag, priority, due, options, awaited, "", parent]


# ---- pull -------------------------------------------------------------------------------------


@st.composite
def pull(draw: st.DrawFn) -> Arguments:
    """A claim that may exist already, a worker that may be dead, now and then floors."""
    claim = draw(st.sampled_from((*CLAIMS[3:], *CLAIMS)))
    tags = draw(_some_tags)
    size = draw(st.sampled_from((2, 1, 1, 3, 10)))
    floors: Columns = [[], [], [], []]
    if draw(_once_in(3)):
        floors = draw(_floors())
    worker = draw(st.sampled_from((*WORKERS[:2] * 3, *WORKERS)))
    ranks = [draw(_ranks) for _ in tags]
    return (claim, worker, size, tags, *floors, draw(st.sampled_from((3, 1, 3))), ranks)


@st.composite
def _floors(draw: st.DrawFn) -> Columns:
    lanes = draw(
        st.lists(
            st.tuples(st.sampled_from(TAGS), st.sampled_from((0, 10, -5, 7))),
            min_size=1,
            max_size=2,
            unique=True,
        )
    )
    times: list[datetime] = [
        draw(st.sampled_from((BASE - HOUR, BASE - 2 * HOUR, BASE + HOUR))) for _ in lanes
    ]
    ids = [draw(_jobs) for _ in lanes]
    return [[tag for tag, _ in lanes], [priority for _, priority in lanes], times, ids]


# ---- commit -----------------------------------------------------------------------------------

_SUCCESS: Final = ("success", '"done"', None, HOUR_S, 5, None, False)
_OUTCOMES: Final = (
    _SUCCESS,
    _SUCCESS,
    _SUCCESS,
    ("success", '{"b": [1, 2.50], "a": null}', None, 0.0, 2**31 - 1, None, False),
    ("failure", None, '{"name": "Boom", "message": "it broke"}', HOUR_S, 5, None, False),
    ("canceled", None, '{"name": "Cancelled", "message": "x"}', HOUR_S, 5, None, False),
    ("skipped", None, None, 2 * HOUR_S, 5, None, False),
    ("begun", None, None, HOUR_S, 5, None, False),
    (None, None, None, HOUR_S, 5, 0.0, False),
    (None, None, None, HOUR_S, 5, 3.0 * HOUR_S, True),
    (None, None, None, HOUR_S, 5, 3.0 * HOUR_S, False),
)
"""Status, result, error, age, duration, delay, charged."""
_STATUS, _RESULT, _ERROR, _AGE, _DURATION, _DELAY, _CHARGED = range(7)
_BAD_OUTCOMES: Final[Sequence[Mapping[int, Any]]] = (
    {_RESULT: '"a\\u0000"'},
    {_RESULT: '"a\\u0000"'},
    {_RESULT: "1e999999"},
    {_RESULT: "1e999999"},
    {_RESULT: "{"},
    {_RESULT: '"\x00"'},
    {_RESULT: '"\\ud800"'},
    {_RESULT: '"\ud800"'},
    {_ERROR: '{"message": "\\u0000"}'},
    {_STATUS: "splendid", _DELAY: None},
    {_STATUS: None, _DELAY: None},
    {_DURATION: 2**31},
    {_AGE: math.nan},
    {_AGE: 1e300},
    {_DELAY: 1e300},
    {_DELAY: 0.0, _CHARGED: None},
)
COMPACT: Final = (_STATUS, _ERROR, _DELAY, _CHARGED)


@st.composite
def commit(draw: st.DrawFn, claims: Sequence[ClaimRow]) -> Arguments:
    """Outcomes for a claim of the scene, most of them matching; or for whatever comes."""
    worker, named, jobs = draw(_held(claims) if claims and not draw(_once_in(4)) else _made_up())
    outcomes = [list(draw(st.sampled_from(_OUTCOMES))) for _ in jobs]
    compact = draw(st.booleans()) and all(o[_STATUS] == "success" for o in outcomes)
    if draw(_once_in(3)):
        for column, value in draw(st.sampled_from(_BAD_OUTCOMES)).items():
            compact = compact and column not in COMPACT
            outcomes[0][column] = value
    columns: Columns = [list(column) for column in zip(*outcomes, strict=True)]
    if compact:
        for column in COMPACT:
            columns[column] = []
    return (worker, named, [id_ for id_, _ in jobs], [attempt for _, attempt in jobs], *columns)


_Batch: TypeAlias = tuple[UUID, list[UUID], list[tuple[UUID, int]]]


@st.composite
def _held(draw: st.DrawFn, claims: Sequence[ClaimRow]) -> _Batch:
    claim = draw(st.sampled_from(claims))
    worker = draw(st.sampled_from((*[claim.worker] * 4, *WORKERS)))
    pairs = list(zip(claim.ids, claim.attempts, strict=True))
    jobs = draw(st.lists(st.sampled_from(pairs), min_size=1, max_size=3, unique=True))
    if draw(_once_in(4)):
        jobs.append((draw(_jobs), draw(_attempts)))
    return worker, [claim.id], jobs


@st.composite
def _made_up(draw: st.DrawFn) -> _Batch:
    named = draw(st.lists(st.sampled_from(CLAIMS), min_size=1, max_size=3))
    jobs = draw(st.lists(st.tuples(_jobs, _attempts), min_size=1, max_size=3))
    return draw(_workers), named, jobs


# ---- all --------------------------------------------------------------------------------------


@st.composite
def _attempts_of_jobs(draw: st.DrawFn, *, logs: bool) -> Columns:
    jobs = draw(st.lists(st.tuples(_jobs, _attempts), min_size=1, max_size=3))
    columns: Columns = [[id_ for id_, _ in jobs], [attempt for _, attempt in jobs]]
    if logs:
        columns.append([draw(st.sampled_from((0, 0, 1, 2))) for _ in jobs])
        texts = st.sampled_from(("line", "line", "another", "nul \x00"))
        columns.append([draw(texts) for _ in jobs])
    return columns


@st.composite
def _failed_attempts(draw: st.DrawFn) -> Columns:
    columns = list(draw(_attempts_of_jobs(logs=False)))
    errors = st.sampled_from(('{"name": "E"}', '{"name": "E"}', "nul \x00", "{"))
    columns.append([draw(errors) for _ in columns[0]])
    return [*columns, [HOUR_S] * len(columns[0]), [20] * len(columns[0])]


@st.composite
def _running(draw: st.DrawFn, claims: Sequence[ClaimRow]) -> Arguments:
    """What is said of jobs of a claim of the scene, most of them its worker's; or of others."""
    worker, named, jobs = draw(_held(claims) if claims and not draw(_once_in(4)) else _made_up())
    texts = st.sampled_from(("live", "live", "other", "", "nul \x00"))
    chunks, told = st.sampled_from((0, 0, 1)), st.just((None, None)) | st.tuples(FRACTIONS, NOTES)
    pieces = [(*job, draw(chunks), draw(texts), *draw(told)) for job in dict(jobs).items()]
    columns = (list(column) for column in zip(*pieces, strict=True))
    return (worker, named, *columns, draw(st.sampled_from((1, 2, 2, 3))))


_FAMILIES: Final[Sequence[Callable[[], Mapping[str, Drawn]]]] = (
    endings,
    flow_admin,
    flows,
    limits,
    keys,
    results,
    same_worker,
    scripts,
    tokens,
)
_NOTHING: Final[Drawn] = st.just(())
_states: Final = st.sampled_from(
    (None, "ready", "scheduled", "waiting", "running", "success", "failure", "canceled")
)
_listing: Final[Drawn] = st.tuples(
    _states,
    st.sampled_from((None, TAGS[0])),
    st.sampled_from((None, "path.0")),
    st.sampled_from((100, 2)),
    st.sampled_from((None, JOBS[3])),
    st.sampled_from((None, None, LABELS[0])),
)
_registration: Final[Drawn] = st.tuples(
    _workers,
    st.just("new"),
    st.just("host"),
    st.sampled_from((7, 7, 2**31)),
    st.just("worker"),
    _some_tags,
    st.sampled_from(([0], [0, 7], [-7])),
    st.sampled_from((1e6, 0.000001, 1e6, 0.0)),
    whose,
)


def queries(scene: Scene) -> Mapping[str, Drawn]:
    """How to draw the arguments of each query, by its name."""
    claims = cast("Sequence[ClaimRow]", scene.get("claim", ()))
    return {
        "adopt": st.tuples(_workers, st.lists(st.sampled_from(CLAIMS), max_size=2)),
        "cancel_unstarted": st.tuples(_some_jobs, _reasons, _some_jobs),
        "cancels_for_worker": st.tuples(_workers),
        "clock": _NOTHING,
        "commit": commit(claims),
        "count_jobs": _NOTHING,
        "ended_jobs": st.tuples(_some_jobs),
        "enqueue": enqueue(),
        "family": st.tuples(_some_jobs, st.just(100)),
        "find_stored": st.tuples(_workers, _attempts_of_jobs(logs=False)).map(_flat),
        "follow_logs": st.tuples(_jobs, _attempts, st.sampled_from((0, 1))),
        "forget_workers": st.tuples(_limits, st.sampled_from((86_400.0, 0.0, 86_400.0))),
        "heartbeat": st.tuples(_workers, st.just(3), st.just(2), st.sampled_from((1, 1, 2**31))),
        "job_attempts": st.tuples(_jobs),
        "job_logs": st.tuples(_jobs),
        "job_states": st.tuples(_some_jobs),
        "list_jobs": _listing,
        "list_workers": st.tuples(_limits),
        "lock_migrations": _NOTHING,
        "mark_lost": st.tuples(_limits),
        "next_due": st.tuples(_some_tags),
        "notify_done": st.tuples(_some_jobs),
        "notify_ready": st.tuples(_some_tags),
        "ping": _NOTHING,
        "pull": pull(),
        "reap": st.tuples(_limits, st.sampled_from((3, 0, 1))),
        "record_migration": st.tuples(st.sampled_from((4, 3, 5)), st.just("purpose")),
        "register_worker": _registration,
        "request_cancel": st.tuples(_some_jobs, _reasons),
        "retire_worker": st.tuples(_workers),
        "schema_version": _NOTHING,
        "server_version": _NOTHING,
        "store_attempts": st.tuples(_workers, _failed_attempts()).map(_flat),
        "store_logs": _attempts_of_jobs(logs=True).map(tuple),
        "store_running": _running(claims),
        "sweep_cancels": _NOTHING,
        "late_cancels": st.tuples(st.sampled_from((10, 1))),
        **SCHEDULE_QUERIES,
        **workflow(_held(claims) if claims else _made_up()),
    } | {name: drawn for family in _FAMILIES for name, drawn in family().items()}


def _flat(found: tuple[UUID, Columns]) -> Arguments:
    return (found[0], *found[1])


Locker: TypeAlias = Callable[[int], tuple[str, Arguments]]


def lockers(scene: Scene) -> Sequence[Locker]:
    """Statements that keep a lock on the thing with a number until their transaction ends."""
    claims = cast("Sequence[ClaimRow]", scene.get("claim", ()))

    def commit_of(number: int) -> tuple[str, Arguments]:
        claim = claims[number % len(claims)]
        stored: Columns = [[], ['"done"'], [], [0.0], [1], [], []]
        job = ([claim.ids[0]], [claim.attempts[0]])
        return "commit", (claim.worker, [claim.id], *job, *stored)

    def enqueue_of(number: int) -> tuple[str, Arguments]:
        row = (JOBS[number], "noop", "path", "{}", TAGS[0], 0, BASE - HOUR, None, False, "", None)
        return "enqueue", tuple([value] for value in row)

    always: Sequence[Locker] = (
        enqueue_of,
        lambda n: ("heartbeat", (WORKERS[n % len(WORKERS)], 1, 1, 1)),
        lambda n: ("cancel_unstarted", ([JOBS[n]], "enough", [])),
        lambda n: ("store_logs", ([JOBS[n]], [1], [0], ["line"])),
        lambda n: ("request_cancel", ([JOBS[n]], "enough")),
        lambda n: ("retire_worker", (WORKERS[n % len(WORKERS)],)),
        lambda n: ("record_migration", (4 + n, "purpose")),
        lambda n: ("add_schedules", ([SCHEDULES[n % len(SCHEDULES)]], ["{}"])),
        lambda n: ("lock_schedules", ([SCHEDULES[n % len(SCHEDULES)]],)),
        lambda n: (
            "store_flows",
            ([JOBS[n]], [JOBS[0]], [PATHS[0]], [1], ["{}"], [1], [0], [None]),
        ),
    )
    return (commit_of, *always) if claims else always
