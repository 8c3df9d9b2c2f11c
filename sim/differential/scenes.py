"""How the tables are when a history begins: drawn by Hypothesis, whatever it may look like.

Rule of this file: broken scenes are wanted, too. A job in two places at once or in no table at all
is what the constraints are there for, and the statements must meet it alike on both sides.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec
from hypothesis import strategies as st

from sim.database.rows import (
    CancelRow,
    ClaimRow,
    CompletedRow,
    ConcurrencyRow,
    ExpiryRow,
    JobRow,
    LabelRow,
    LogRow,
    ProgressRow,
    ReadyRow,
    Row,
    ScheduleRow,
    SlotRow,
    SpentRow,
    WaitingRow,
    WorkerRow,
)
from sim.differential.arguments_of_flows import TOO_LONG_AGO, known_flows, under_way
from sim.differential.arguments_of_keys import taken_keys
from sim.differential.arguments_of_limits import LIMITED
from sim.differential.arguments_of_results import kept_results
from sim.differential.arguments_of_same_worker import SHARED
from sim.differential.arguments_of_scripts import known_scripts
from sim.differential.arguments_of_tokens import noted_tokens, whose
from sim.differential.arguments_of_workflow import known_parents
from sim.differential.history import (
    BASE,
    CLAIMS,
    HOUR,
    HOUR_S,
    JOBS,
    KEYS,
    PRIORITIES,
    SCHEDULES,
    TAGS,
    WORKERS,
    Scene,
)

LONG_LEASE_S: Final = 1_000_000.0
SERVER_LIVES_LESS_S: Final = 360_000.0
"""A lease that a test's server has not lived for: whoever has it is spared by `mark_lost`."""
SHORT_LEASE_S: Final = 0.000001
"""Over before the next step."""

_UNKNOWN: Final = ()
_PLACES: Final = (
    _UNKNOWN,
    ("job", "ready"),
    ("job", "claim"),
    ("job", "future"),
    ("job", "completed"),
    ("job", "completed", "canceled"),
    ("job", "waiting"),
    ("ready",),
    ("claim",),
    ("job", "in line"),
    ("job", "ready", "slot"),
    ("job", "claim", "slot"),
    ("job", "in line", "slot"),
    ("job", "flow"),
    ("job", "approval"),
    ("flow",),
    ("job", "flow", "claim"),
    ("job", "flow", "completed"),
    ("slot",),
    ("job", "ready", "claim"),
    ("job", "ready", "completed"),
    ("job", "ready", "waiting"),
    ("job", "claim", "completed"),
)
_WEIGHTS: Final = (4, 8, 9, 2, 3, 2, 2, 1, 1, 5, 2, 2, 1, 6, 4, 1, 1, 1, 1, 1, 1, 1, 1)


class Place(NamedTuple):
    """Where a job stands, and what is known of it."""

    tables: Sequence[str] = _UNKNOWN
    tag: str = TAGS[0]
    priority: int = 0
    hours: int = -1
    attempt: int = 1
    reaped: int = 0
    claim: int = 0
    awaited: bool = False
    cancel: bool = False
    key: str = KEYS[0]
    fresh: bool = False


_places: Final = st.builds(
    Place,
    tables=st.sampled_from([p for p, n in zip(_PLACES, _WEIGHTS, strict=True) for _ in range(n)]),
    tag=st.sampled_from(TAGS[:1] * 2 + TAGS[1:]),
    priority=st.sampled_from(PRIORITIES),
    hours=st.sampled_from((-1, -1, -2)),
    attempt=st.sampled_from((1, 1, 1, 2, 2**31 - 1)),
    reaped=st.sampled_from((0, 0, 0, 1, 3, 2**15 - 1)),
    claim=st.sampled_from((1, 0, 0, 2)),
    awaited=st.booleans(),
    cancel=st.sampled_from((False, False, True)),
    key=st.sampled_from((KEYS[0], KEYS[0], KEYS[1])),
    fresh=st.sampled_from((False, False, True)),
)

_WORKERS: Final[dict[str, dict[str, Any]]] = {
    "alive": {},
    "silent": {"lease_s": SHORT_LEASE_S},
    "spared": {"lease_s": SERVER_LIVES_LESS_S, "last_heartbeat": BASE - 200 * HOUR},
    "lost": {"lost_at": BASE - HOUR},
    "long lost": {"lost_at": BASE - 100 * HOUR},
    "stopped": {"stopped_at": BASE - HOUR},
    "long gone": {"lost_at": BASE - 100 * HOUR, "stopped_at": BASE - 100 * HOUR},
}
_schedules: Final[st.SearchStrategy[ScheduleRow]] = st.builds(
    ScheduleRow,
    name=st.sampled_from(SCHEDULES),
    definition=st.just('{"n": 0}'),
    pending=st.sampled_from((*JOBS, None)),
    decided_until=st.just(BASE - HOUR),
    look_at=st.sampled_from((BASE - HOUR, BASE - 2 * HOUR, None, BASE + HOUR)),
    created_at=st.just(BASE - HOUR),
)
_ABSENT: Final = "absent"
_lives: Final = st.tuples(
    st.sampled_from(("alive", "alive", "silent", "lost")),
    st.sampled_from(("lost", "alive", "silent", "stopped", "spared")),
    st.sampled_from(("lost", "stopped", "long lost", _ABSENT, "alive")),
    st.sampled_from((_ABSENT, "long gone", "long lost", "silent")),
)


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    """Rows for the tables."""
    places = draw(st.tuples(*[_places] * len(JOBS)))
    scene: dict[str, list[Row]] = {}
    for index, place in enumerate(places):
        for table, row in _rows(index, place):
            scene.setdefault(table, []).append(row)
    scene |= draw(_limits())
    scene |= draw(known_flows())
    scene |= draw(known_scripts())
    scene |= draw(known_parents())
    scene["unique_key"] = draw(taken_keys())
    scene["result_cache"] = draw(kept_results())
    scene["agent_token"] = draw(noted_tokens())
    scene["claim"] = list(_claims(places))
    scene["worker"] = [
        _worker(index, life, draw(whose))
        for index, life in enumerate(draw(_lives))
        if life != _ABSENT
    ]
    by_name = {row.name: row for row in draw(st.lists(_schedules, max_size=3))}
    scene["schedule"] = list(by_name.values())
    return {table: rows for table, rows in scene.items() if rows}


def _rows(index: int, place: Place) -> Iterator[tuple[str, Row]]:
    """The rows of one job, but for the claim."""
    id_ = JOBS[index]
    if "job" in place.tables:
        yield "job", _job(index, place)
    yield from _standing(index, place)
    if "completed" in place.tables:
        yield "job_completed", _completed(index, place)
        yield "job_log", LogRow(id=id_, attempt=1, chunk=1, text="more")
        yield "job_log", LogRow(id=id_, attempt=1, chunk=0, text="some")
    if place.fresh:
        yield "job_label", LabelRow(label="a", id=id_)
        told_at = BASE - HOUR
        yield (
            "job_progress",
            ProgressRow(id=id_, attempt=1, fraction=0.75, note="before", told_at=told_at),
        )
    if place.cancel or ("completed" in place.tables and place.fresh):
        yield "expiry", ExpiryRow(id=id_, at=BASE + place.hours * HOUR)
    if place.cancel:
        yield "cancel_request", CancelRow(id=id_, reason="enough", requested_at=BASE - HOUR)


def _standing(index: int, place: Place) -> Iterator[tuple[str, Row]]:
    """Those that say where it stands until it ends."""
    if "ready" in place.tables or "future" in place.tables:
        yield "ready", _ready(index, place)
    if "waiting" in place.tables:
        yield "waiting", _waiting(index, reason="flow", until=None)
    if "approval" in place.tables:
        until = None if place.awaited else BASE + (1 if place.cancel else place.hours) * HOUR
        yield "waiting", _waiting(index, reason="approval", until=until)
    if "flow" in place.tables:
        hours = -TOO_LONG_AGO if place.priority else place.hours
        yield "flow_state", under_way(index, place.claim, place.attempt, place.reaped, hours)
    if "in line" in place.tables:
        yield "waiting", _in_line(index, place)
    if "slot" in place.tables:
        yield "slot", SlotRow(id=JOBS[index], key=place.key)


def _ready(index: int, place: Place) -> ReadyRow:
    hours = 1 if "future" in place.tables else place.hours
    return ReadyRow(
        id=JOBS[index],
        tag=place.tag,
        priority=place.priority,
        scheduled_for=BASE + hours * HOUR,
        attempt=place.attempt,
        reaped=place.reaped,
    )


def _waiting(index: int, *, reason: str, until: datetime | None) -> WaitingRow:
    return WaitingRow(
        id=JOBS[index], reason=reason, until=until, attempt=2, reaped=1, since=BASE - HOUR
    )


def _in_line(index: int, place: Place) -> WaitingRow:
    return WaitingRow(
        id=JOBS[index],
        reason="limit",
        until=None,
        attempt=place.attempt,
        reaped=place.reaped,
        since=BASE - HOUR,
        key=place.key,
        priority=place.priority,
        scheduled_for=BASE + (1 if place.awaited else place.hours) * HOUR,
        fresh=place.fresh,
    )


@st.composite
def _limits(draw: st.DrawFn) -> dict[str, list[Row]]:
    """What is known of the keys, and which of their slots are spent."""
    keys = draw(st.lists(st.sampled_from(KEYS), unique=True))
    look_at = st.sampled_from((None, BASE - HOUR, BASE + HOUR))
    known: list[Row] = [
        ConcurrencyRow(
            key=key,
            slots=draw(st.sampled_from((1, 2, 3))),
            window_s=draw(st.sampled_from((None, 2.0 * HOUR_S))),
            said_at=BASE - HOUR,
            look_at=draw(look_at),
        )
        for key in keys
    ]
    places = st.tuples(st.sampled_from(KEYS), st.sampled_from((BASE - HOUR, BASE + 2 * HOUR)))
    spent: list[Row] = [
        SpentRow(key=key, free_at=free_at, slots=1)
        for key, free_at in draw(st.lists(places, unique=True, max_size=2))
    ]
    return {"concurrency": known, "spent_slot": spent}


def _job(index: int, place: Place) -> JobRow:
    return JobRow(
        id=JOBS[index],
        kind="noop",
        path=f"path.{index % 2}",
        args='{"n": 1.50}',
        tag=place.tag,
        priority=place.priority,
        options=_options(place),
        awaited=place.awaited,
        created_at=BASE - 2 * HOUR,
        created_by="",
        parent=JOBS[place.claim] if place.reaped else None,
    )


def _options(place: Place) -> str | None:
    if place.fresh:
        return LIMITED
    if place.awaited:
        return '{"deadline": "soon"}'
    return SHARED if place.cancel else None


def _completed(index: int, place: Place) -> CompletedRow:
    return CompletedRow(
        id=JOBS[index],
        status=_status(place),
        result='"done"',
        error=None,
        worker=WORKERS[place.claim],
        attempt=place.attempt,
        reaped=place.reaped,
        started_at=BASE - 2 * HOUR,
        completed_at=BASE - HOUR,
        duration_ms=7,
    )


def _status(place: Place) -> str:
    if "canceled" in place.tables:
        return "canceled"
    return "failure" if place.awaited else "success"


def _claims(places: Sequence[Place]) -> Iterator[ClaimRow]:
    """One claim for each worker that holds something."""
    for number, id_ in enumerate(CLAIMS):
        held = [
            (JOBS[index], place.attempt, place.reaped)
            for index, place in enumerate(places)
            if "claim" in place.tables and place.claim == number
        ]
        if held:
            ids, attempts, reaped = zip(*held, strict=True)
            yield ClaimRow(
                id=id_,
                worker=WORKERS[number],
                ids=ids,
                attempts=attempts,
                reaped=reaped,
                claimed_at=BASE - HOUR,
            )


def _worker(index: int, life: str, token: UUID | None) -> WorkerRow:
    alive = WorkerRow(
        id=WORKERS[index],
        name=f"worker {index}",
        host="host",
        pid=index,
        mode="worker",
        tags=TAGS,
        ranks=(0,) * len(TAGS),
        lease_s=LONG_LEASE_S,
        started_at=BASE - 300 * HOUR,
        last_heartbeat=BASE - HOUR,
        token=token,
    )
    return msgspec.structs.replace(alive, **_WORKERS[life])
