"""Words for histories that people write: rows, statements, and scenes that many of them begin with.

Rule of this file: everything is counted from 1. Job 1 stands in claim 1, which is worker 1's.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec

from sim.database.rows import (
    ClaimRow,
    CompletedRow,
    DecisionRow,
    FlowRow,
    FlowStateRow,
    JobRow,
    ReadyRow,
    Row,
    SlotRow,
    UniqueKeyRow,
    WaitingRow,
    WorkerRow,
)
from sim.differential.history import (
    BASE,
    BEGIN,
    CLAIMS,
    HOUR,
    JOBS,
    SCHEDULES,
    TAGS,
    TOKENS,
    WORKERS,
    History,
    Scene,
    Step,
    ending,
)
from sim.differential.scenes import LONG_LEASE_S

J1, J2, J3, *_ = JOBS
C1, C2, *_ = CLAIMS
W1, W2, *_ = WORKERS
T1, T2, *_ = TOKENS
NIGHTLY, HOURLY = SCHEDULES[:2]
RED: Final = TAGS[0]
BLUE: Final = TAGS[1]
DONE: Final = '"done"'


def job(number: int) -> JobRow:
    """A job, wherever it stands."""
    return JobRow(
        id=JOBS[number - 1], kind="noop", path="path", args="{}", tag=RED, priority=0, options=None,
        awaited=False, created_at=BASE - HOUR, created_by="",
    )  # fmt: skip


def ready(number: int, **fields: object) -> ReadyRow:
    """Its row, when it may be pulled."""
    row = ReadyRow(id=JOBS[number - 1], tag=RED, priority=0, scheduled_for=BASE - HOUR)
    return msgspec.structs.replace(row, **fields)


def failed(number: int) -> CompletedRow:
    """Its row, when it has failed."""
    return CompletedRow(
        id=JOBS[number - 1], status="failure", result=None, error='{"name": "E"}', worker=W1,
        attempt=1, reaped=0, started_at=None, completed_at=BASE - HOUR, duration_ms=None,
    )  # fmt: skip


def waiting(number: int) -> WaitingRow:
    """Its row, when it waits for something."""
    return WaitingRow(
        id=JOBS[number - 1], reason="flow", until=None, attempt=1, reaped=0, since=BASE - HOUR
    )


def worker(number: int, **fields: object) -> WorkerRow:
    """A worker that lives long."""
    row = WorkerRow(
        id=WORKERS[number - 1], name="w", host="h", pid=1, mode="worker", tags=(RED,), ranks=(0,),
        lease_s=LONG_LEASE_S, started_at=BASE - HOUR, last_heartbeat=BASE - HOUR,
    )  # fmt: skip
    return msgspec.structs.replace(row, **fields)


def claim(number: int, *jobs: int, **fields: object) -> ClaimRow:
    """A claim of the worker with the same number."""
    row = ClaimRow(
        id=CLAIMS[number - 1], worker=WORKERS[number - 1], ids=tuple(JOBS[n - 1] for n in jobs),
        attempts=(1,) * len(jobs), reaped=(0,) * len(jobs), claimed_at=BASE - HOUR,
    )  # fmt: skip
    return msgspec.structs.replace(row, **fields)


_TABLES: Final[Mapping[type[Row], str]] = {
    JobRow: "job", ReadyRow: "ready", WaitingRow: "waiting", WorkerRow: "worker", ClaimRow: "claim",
    SlotRow: "slot", UniqueKeyRow: "unique_key", CompletedRow: "job_completed",
    FlowRow: "flow", FlowStateRow: "flow_state", DecisionRow: "decision",
}  # fmt: skip


def in_line(number: int) -> WaitingRow:
    """The row of a job that waits for a slot."""
    row = waiting(number)
    return msgspec.structs.replace(
        row, reason="limit", key="k", priority=0, scheduled_for=BASE - HOUR
    )


def scene(*rows: Row) -> Scene:
    """The tables with these rows in them."""
    tables: dict[str, list[Row]] = {}
    for row in rows:
        tables.setdefault(_TABLES[type(row)], []).append(row)
    return tables


def play(scene: Scene, *steps: Sequence[Any]) -> History:
    """Each step is (session, what, *arguments)."""
    own = [Step(session, what, tuple(arguments)) for session, what, *arguments in steps]
    return History(scene=scene, steps=[*own, *ending()])


def commit(number: int, *jobs: int, result: str = DONE, **columns: object) -> Sequence[Any]:
    """The statement that stores successes of a claim; `columns` replaces some of the others."""
    many = len(jobs)
    given: dict[str, object] = {
        "statuses": [], "results": [result] * many, "errors": [], "ages": [0.0] * many,
        "durations": [1] * many, "delays": [], "charged": [],
    } | columns  # fmt: skip
    named = [JOBS[n - 1] for n in jobs]
    return ("commit", WORKERS[number - 1], [CLAIMS[number - 1]], named, [1] * many, *given.values())


def flush(
    jobs: Sequence[UUID], chunks: Sequence[int], texts: Sequence[str],
    fractions: Sequence[float | None], *, number: int = 1, worker: UUID = W1,
) -> Sequence[Any]:  # fmt: skip
    """The statement that stores what running jobs of the first claim wrote and told."""
    notes = [None if fraction is None else f"at {fraction}" for fraction in fractions]
    named = list(jobs)
    said = (named, [1] * len(named), chunks, texts, fractions, notes)
    return ("store_running", worker, [C1], *said, number)


def returns(number: int, job: int, **columns: object) -> Sequence[Any]:
    """The statement that gives one job back at once."""
    back: dict[str, object] = {
        "statuses": [None],
        "errors": [None],
        "delays": [0.0],
        "charged": [True],
    } | columns
    return commit(number, job, result=DONE, **back)


def enqueue(*numbers: int, **columns: object) -> Sequence[Any]:
    """The statement that enqueues jobs; `columns` replaces some of theirs."""
    many = len(numbers)
    given: dict[str, object] = {
        "kinds": ["noop"] * many, "paths": ["path"] * many, "args": ["{}"] * many,
        "tags": [RED] * many, "priorities": [0] * many, "due": [None] * many,
        "options": [None] * many, "awaited": [False] * many, "by": [""] * many,
        "parents": [None] * many,
    } | columns  # fmt: skip
    return ("enqueue", [JOBS[n - 1] for n in numbers], *given.values())


def store_schedules(pending: UUID) -> Sequence[Any]:
    """The statement that lets one schedule be due and wait for a job."""
    times = ([BASE - HOUR], [pending], [BASE - HOUR], [BASE - HOUR])
    return ("store_schedules", [NIGHTLY], [None], [False], *times, [1], [None])


LOCK: Final[Sequence[object]] = ("lock_limits", [], ["k"], [1], [7_200.0], [None])
PROMOTE: Final[Sequence[object]] = ("promote", ["k"])
HEARTBEAT: Final = ("heartbeat", W1, 1, 1, 1)
RETIRE: Final = ("retire_worker", W1)
PULL: Final[Sequence[object]] = ("pull", C1, W1, 10, [RED], [], [], [], [], 3, [0])
CANCEL: Final = ("cancel_unstarted", [J1, J2], "enough", [J1])
ALIVE: Final = scene(worker(1), worker(2))
HELD: Final = scene(job(1), job(2), claim(1, 1), claim(2, 2), worker(1), worker(2))
READY: Final = scene(job(1), job(2), ready(1), ready(2), worker(1))
BACK: Final = ((0, BEGIN), (0, *HEARTBEAT), (1, *HEARTBEAT), (2, *HEARTBEAT), (3, *HEARTBEAT))
