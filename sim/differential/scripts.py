"""Histories that once told the model from PostgreSQL, or that chance would bring about too seldom.

Rule of this file: each has its reason in its name and goes through both sides in every run, before
those that Hypothesis makes up.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec

from sim.database.rows import (
    ClaimRow,
    CompletedRow,
    JobRow,
    ReadyRow,
    Row,
    SlotRow,
    UniqueKeyRow,
    WaitingRow,
    WorkerRow,
)
from sim.differential.arguments_of_limits import LIMITED
from sim.differential.history import (
    BASE,
    BEGIN,
    CLAIMS,
    COMMIT,
    HOUR,
    JOBS,
    KILL,
    ROLLBACK,
    SCHEDULES,
    TAGS,
    WORKERS,
    History,
    Scene,
    Step,
    ending,
)
from sim.differential.scenes import LONG_LEASE_S, SHORT_LEASE_S

J1, J2, J3, *_ = JOBS
C1, C2, *_ = CLAIMS
W1, W2, *_ = WORKERS
NIGHTLY, HOURLY = SCHEDULES[:2]
RED: Final = TAGS[0]
BLUE: Final = TAGS[1]
DONE: Final = '"done"'


def _job(number: int) -> JobRow:
    return JobRow(
        id=JOBS[number - 1], kind="noop", path="path", args="{}", tag=RED, priority=0, options=None,
        awaited=False, created_at=BASE - HOUR, created_by="",
    )  # fmt: skip


def _ready(number: int, **fields: object) -> ReadyRow:
    row = ReadyRow(id=JOBS[number - 1], tag=RED, priority=0, scheduled_for=BASE - HOUR)
    return msgspec.structs.replace(row, **fields)


def _failed(number: int) -> CompletedRow:
    return CompletedRow(
        id=JOBS[number - 1], status="failure", result=None, error='{"name": "E"}', worker=W1,
        attempt=1, reaped=0, started_at=None, completed_at=BASE - HOUR, duration_ms=None,
    )  # fmt: skip


def _waiting(number: int) -> WaitingRow:
    return WaitingRow(
        id=JOBS[number - 1], reason="flow", until=None, attempt=1, reaped=0, since=BASE - HOUR
    )


def _worker(number: int, **fields: object) -> WorkerRow:
    row = WorkerRow(
        id=WORKERS[number - 1], name="w", host="h", pid=1, mode="worker", tags=(RED,), ranks=(0,),
        lease_s=LONG_LEASE_S, started_at=BASE - HOUR, last_heartbeat=BASE - HOUR,
    )  # fmt: skip
    return msgspec.structs.replace(row, **fields)


def _claim(number: int, *jobs: int, **fields: object) -> ClaimRow:
    """A claim of the worker with the same number."""
    row = ClaimRow(
        id=CLAIMS[number - 1], worker=WORKERS[number - 1], ids=tuple(JOBS[n - 1] for n in jobs),
        attempts=(1,) * len(jobs), reaped=(0,) * len(jobs), claimed_at=BASE - HOUR,
    )  # fmt: skip
    return msgspec.structs.replace(row, **fields)


_TABLES: Final[Mapping[type[Row], str]] = {
    JobRow: "job", ReadyRow: "ready", WaitingRow: "waiting", WorkerRow: "worker", ClaimRow: "claim",
    SlotRow: "slot", UniqueKeyRow: "unique_key", CompletedRow: "job_completed",
}  # fmt: skip


def _in_line(number: int) -> WaitingRow:
    row = _waiting(number)
    return msgspec.structs.replace(
        row, reason="limit", key="k", priority=0, scheduled_for=BASE - HOUR
    )


def _scene(*rows: Row) -> Scene:
    scene: dict[str, list[Row]] = {}
    for row in rows:
        scene.setdefault(_TABLES[type(row)], []).append(row)
    return scene


def _play(scene: Scene, *steps: Sequence[Any]) -> History:
    """Each step is (session, what, *arguments)."""
    own = [Step(session, what, tuple(arguments)) for session, what, *arguments in steps]
    return History(scene=scene, steps=[*own, *ending()])


def _commit(number: int, *jobs: int, result: str = DONE, **columns: object) -> Sequence[Any]:
    """The statement that stores successes of a claim; `columns` replaces some of the others."""
    many = len(jobs)
    given: dict[str, object] = {
        "statuses": [], "results": [result] * many, "errors": [], "ages": [0.0] * many,
        "durations": [1] * many, "delays": [], "charged": [],
    } | columns  # fmt: skip
    named = [JOBS[n - 1] for n in jobs]
    return ("commit", WORKERS[number - 1], [CLAIMS[number - 1]], named, [1] * many, *given.values())


def _flush(
    jobs: Sequence[UUID], chunks: Sequence[int], texts: Sequence[str],
    fractions: Sequence[float | None], worker: UUID = W1,
) -> Sequence[Any]:  # fmt: skip
    """The statement that stores what running jobs of the first claim wrote and told."""
    notes = [None if fraction is None else f"at {fraction}" for fraction in fractions]
    named = list(jobs)
    return ("store_running", worker, [C1], named, [1] * len(named), chunks, texts, fractions, notes)


def _returns(number: int, job: int, **columns: object) -> Sequence[Any]:
    """The statement that gives one job back at once."""
    back: dict[str, object] = {
        "statuses": [None],
        "errors": [None],
        "delays": [0.0],
        "charged": [True],
    } | columns
    return _commit(number, job, result=DONE, **back)


def _enqueue(*numbers: int, **columns: object) -> Sequence[Any]:
    many = len(numbers)
    given: dict[str, object] = {
        "kinds": ["noop"] * many, "paths": ["path"] * many, "args": ["{}"] * many,
        "tags": [RED] * many, "priorities": [0] * many, "due": [None] * many,
        "options": [None] * many, "awaited": [False] * many, "by": [""] * many,
        "parents": [None] * many,
    } | columns  # fmt: skip
    return ("enqueue", [JOBS[n - 1] for n in numbers], *given.values())


def _store_schedules(pending: UUID) -> Sequence[Any]:
    """The statement that lets one schedule be due and wait for a job."""
    times = ([BASE - HOUR], [pending], [BASE - HOUR], [BASE - HOUR])
    return ("store_schedules", [NIGHTLY], [None], [False], *times, [1], [None])


LOCK: Final[Sequence[object]] = ("lock_limits", [], ["k"], [1], [7_200.0], [None])
PROMOTE: Final[Sequence[object]] = ("promote", ["k"])
HEARTBEAT: Final = ("heartbeat", W1, 1, 1, 1)
RETIRE: Final = ("retire_worker", W1)
PULL: Final[Sequence[object]] = ("pull", C1, W1, 10, [RED], [], [], [], [], 3, [0])
CANCEL: Final = ("cancel_unstarted", [J1, J2], "enough")
_ALIVE: Final = _scene(_worker(1), _worker(2))
_HELD: Final = _scene(_job(1), _job(2), _claim(1, 1), _claim(2, 2), _worker(1), _worker(2))
_READY: Final = _scene(_job(1), _job(2), _ready(1), _ready(2), _worker(1))
_BACK: Final = ((0, BEGIN), (0, *HEARTBEAT), (1, *HEARTBEAT), (2, *HEARTBEAT), (3, *HEARTBEAT))

# fmt: off
SCRIPTS: Final[Mapping[str, History]] = {
    "a heartbeat reads the clock before it waits": _play(_ALIVE, *_BACK[:3], (0, ROLLBACK)),
    "and again when it finds another row": _play(_ALIVE, *_BACK[:3], (0, COMMIT)),
    "a line behind a row is kept when the first one goes back": _play(_ALIVE, *_BACK, (0, KILL)),
    "a line is a race when the row was changed": _play(
        _ALIVE, *_BACK[:2], (1, BEGIN), *_BACK[2:], (0, COMMIT), (0, *RETIRE), (1, COMMIT)
    ),
    "one in the middle of a line dies": _play(_ALIVE, *_BACK, (2, KILL), (1, KILL), (0, COMMIT)),
    "who comes to lock keeps his place behind a changed row": _play(
        _scene(_job(1), _job(2), _claim(1, 1, 2)), (0, BEGIN), (0, *_commit(1, 1)), (1, BEGIN),
        (1, *_commit(1, 1)), (2, *_commit(1, 1)), (3, BEGIN), (3, *_commit(1, 2)), (0, COMMIT),
        (0, *_commit(1, 2)), (1, ROLLBACK), (3, ROLLBACK),
    ),
    "who stands first in two lines behind one row is open": _play(
        _scene(_job(1), _job(2), _claim(1, 1, 2)), (0, BEGIN), (0, *_commit(1, 1)), (1, BEGIN),
        (1, *_commit(1, 1)), (2, *_commit(1, 1)), (0, COMMIT), (0, BEGIN), (0, *_commit(1, 1)),
        (1, ROLLBACK),
    ),
    "and what no longer fits is locked all the same": _play(
        _scene(_worker(1, lease_s=SHORT_LEASE_S)), (0, BEGIN), (0, "mark_lost", 9), (1, BEGIN),
        (1, *HEARTBEAT), (0, COMMIT), (2, *RETIRE), (1, ROLLBACK),
    ),
    "who waited for a key sees who took it": _play(
        _scene(_job(1), _ready(1)), (0, BEGIN), (0, "lock_keys", ["unique"], ["k"]),
        (1, BEGIN), (1, "lock_keys", ["unique", "unique"], ["l", "k"]),
        (0, "take_keys", ["unique"], ["k"], [J1], ["unfinished"], [None], [None], 7_200.0),
        (0, COMMIT), (1, "key_holders", [J1, J2], ["unique"] * 2, ["k", "l"]), (1, COMMIT),
    ),
    "a job that is claimed meanwhile is not replaced": _play(
        _READY, (0, BEGIN), (0, *PULL), (1, "replace_jobs", [J1, J2], [J2, J1]), (0, COMMIT),
    ),
    "the slot of a replaced job waits for a look": _play(
        _scene(_job(1), _ready(1), SlotRow(id=J1, key="k"), _job(2), _in_line(2), _in_line(3)),
        (0, BEGIN), (0, "cancel_unstarted", [J2], "enough"), (1, "replace_jobs", [J1], [J3]),
        (0, ROLLBACK), (1, "due_limits", 9),
    ),
    "what holds a key is not forgotten": _play(
        _scene(
            UniqueKeyRow(sort="unique", key="k", job=J1, during="queued", look_at=BASE - HOUR),
            UniqueKeyRow(sort="unique", key="l", job=J2, during="queued", look_at=BASE - HOUR),
            _job(1), _ready(1), _job(2),
        ),
        (0, BEGIN), (0, "due_keys", 9), (1, "due_keys", 9),
        (1, "lock_keys", ["unique"], ["l"]),
        (0, "forget_keys", ["unique"] * 2, ["k", "l"], [True, False], 7_200.0), (0, COMMIT),
        (1, "forget_workers", 9, 0.0),
    ),
    "advisory locks are handed on in order": _play(
        {}, (0, BEGIN), (0, "lock_migrations"), (0, "lock_migrations"), (1, BEGIN),
        (1, "lock_migrations"), (2, "lock_migrations"), (3, "lock_migrations"), (0, COMMIT),
    ),
    "a circle of two": _play(
        _HELD, (0, BEGIN), (0, *_commit(1, 1)), (1, BEGIN), (1, *_commit(2, 2)),
        (0, *_commit(2, 2)), (1, *_commit(1, 1)), (1, COMMIT),
    ),
    "a circle of three, through a line": _play(
        _ALIVE, (0, BEGIN), (0, *HEARTBEAT), (1, BEGIN), (1, "retire_worker", W2), (2, BEGIN),
        (2, "record_migration", 9, "x"), (1, *HEARTBEAT), (2, *HEARTBEAT),
        (0, "record_migration", 9, "x"),
    ),
    "an id that is enqueued twice at once": _play({}, (0, *_enqueue(1, 1))),
    "an enqueue waits for another, who goes back": _play(
        {}, (0, BEGIN), (0, *_enqueue(1)), (1, *_enqueue(1)), (2, *_enqueue(1)), (0, ROLLBACK)
    ),
    "a job is ready although nobody asked for it": _play(
        _scene(_ready(1), _worker(1)), (0, "list_jobs", "ready", None, None, 9, None, None),
        (0, *PULL), (0, "list_jobs", "running", None, None, 9, None, None), (0, *_enqueue(1)),
        (0, *_commit(1, 1)),
    ),
    "no NUL in JSON": _play(_HELD, (0, *_commit(1, 1, result='"\\u0000"')), (0, *_commit(1, 1))),
    "no NUL in text": _play(
        _HELD, (0, BEGIN), (0, "store_logs", [J1], [1], [0], ["nul \x00"]), (0, *HEARTBEAT),
        (0, COMMIT), (0, "cancel_unstarted", [J1], "\x00"), (0, *_commit(1, 1, result='"\x00"')),
    ),
    "all that can be looked at": _play(
        _scene(_job(1), _job(2), _job(3), _ready(1), _waiting(2), _claim(2, 3), _worker(2)),
        (0, "clock"), (0, "ping"), (0, "server_version"), (0, "schema_version"), (0, "count_jobs"),
        (0, "list_workers", 9), (0, "next_due", [RED]), (0, "adopt", W2, []),
        (0, "adopt", W2, [C2]), (0, "job_states", [J3, J1, J2]), (0, "ended_jobs", [J1]),
        (0, "job_logs", J1), (0, "job_attempts", J1), (0, "family", [J2, J1], 9),
        (0, *_commit(2, 3)), (0, "find_stored", W2, [J3, J3, J1], [1, 2, 1]),
        (0, "store_logs", [J3], [1], [0], ["line"]), (0, "job_logs", J3),
        (0, "ended_jobs", [J3, J3]), (0, "request_cancel", [J1, J3], "enough"),
        (0, "cancels_for_worker", W2),
        (0, "list_jobs", None, RED, "path", 2, None, None),
        (0, "list_jobs", "success", None, None, 9, None, None),
    ),
    "no such number": _play(_HELD, (0, *_commit(1, 1, result="1e999999"))),
    "no status, no charge, no end of time": _play(
        _HELD, (0, *_commit(1, 1, statuses=[None], errors=[None], delays=[None], charged=[None])),
        (0, *_returns(1, 1, charged=[None])), (0, *_returns(1, 1, delays=[1e300])),
        (0, *_commit(1, 1, ages=[float("nan")])),
    ),
    "no such status, priority or lease": _play(
        _HELD, (0, *_commit(1, 1, statuses=["splendid"], errors=[None], delays=[None],
                            charged=[False])),
        (0, *_enqueue(3, priorities=[1_001])), (0, *_enqueue(3, kinds=["poem"])),
        (0, "register_worker", W1, "w", "h", 1, "worker", [RED], [0], 0.0),
    ),
    "a job is given back although it is ready": _play(
        _scene(_job(1), _ready(1), _claim(1, 1)), (0, *_returns(1, 1))
    ),
    "a batch gives back before it finishes": _play(
        _scene(_job(1), _job(2), _claim(1, 1, 2)), (0, BEGIN), (0, *_enqueue(3)), (1, BEGIN),
        (1, *_commit(1, 1, 2, statuses=["splendid", None], errors=[None] * 2, delays=[None, 0.0],
                     charged=[False, None])),
    ),
    "what was given up too often for a smallint": _play(
        _scene(_job(1), _claim(1, 1, reaped=(2**15 - 1,))), (0, "reap", 9, 2**15 - 1),
        (0, "reap", 9, 0),
    ),
    "a refused argument that the driver keeps to itself": _play(
        _ALIVE, (0, BEGIN), (0, "heartbeat", W1, 1, 1, 2**31), (0, *HEARTBEAT), (0, COMMIT)
    ),
    "a failed transaction takes nothing more": _play(
        _READY, (0, BEGIN), (0, *PULL), (0, "store_logs", [J1, J1], [1, 1], [0, 0], ["a", "b"]),
        (0, *PULL), (0, "heartbeat", W1, 1, 1, 2**31), (0, COMMIT), (0, *PULL),
    ),
    "a cancellation locks waiting after ready": _play(
        _scene(_job(1), _job(2), _ready(1), _waiting(2)), (0, BEGIN),
        (0, "cancel_unstarted", [J2], "first"), (1, BEGIN), (1, *CANCEL), (2, *PULL), (0, ROLLBACK),
        (1, COMMIT),
    ),
    "a job is cancelled in two places": _play(
        _scene(_job(1), _ready(1), _waiting(1)), (0, *CANCEL)
    ),
    "a cancellation waits for a pull, that goes back": _play(
        _READY, (0, BEGIN), (0, *PULL), (1, *CANCEL), (2, *PULL), (0, ROLLBACK)
    ),
    "a cancellation waits for a pull, in vain": _play(
        _READY, (0, BEGIN), (0, *PULL), (1, *CANCEL), (0, COMMIT),
        (1, "request_cancel", [J1, J2], "enough"), (1, "request_cancel", [J1, J2], "enough"),
        (0, "sweep_cancels"),
    ),
    "a last chance comes alone": _play(
        _scene(_job(1), _job(2), _job(3), _ready(1), _ready(2, reaped=3), _ready(3), _worker(1)),
        (0, *PULL), (0, "pull", C2, *PULL[2:]), (0, "pull", CLAIMS[2], *PULL[2:]),
    ),
    "a higher rank goes before a higher priority": _play(
        _scene(_job(1), _job(2), _ready(1), _ready(2, tag=BLUE, priority=-5), _worker(1)),
        (0, "pull", C1, W1, 1, [RED, BLUE], [], [], [], [], 3, [0, 5]),
        (0, "pull", C2, W1, 9, [BLUE, RED], [], [], [], [], 3, [-5, 0]),
    ),
    "a lost attempt is remembered, but is no outcome": _play(
        _scene(_job(1), _job(2), _claim(1, 1, 2)),
        (0, "store_attempts", W1, [J1], [1], ['{"name": "E"}'], [3600.0], [20]), (0, "reap", 9, 3),
        (0, "job_attempts", J1), (0, "job_attempts", J2),
        (0, "find_stored", W1, [J1, J2], [1, 1]), (0, "find_stored", W2, [J1], [1]),
    ),
    "a slot goes from one job to the next": _play(
        _scene(_worker(1)), (0, *_enqueue(1, 2, options=[LIMITED] * 2)), (0, *LOCK), (0, *PROMOTE),
        (0, *PULL), (1, BEGIN), (1, *_commit(1, 1)), (1, "lock_limits", [J1], [], [], [], []),
        (2, BEGIN), (2, *LOCK), (1, "release_slots", [J1], [True]), (1, *PROMOTE),
        (1, "plan_looks", ["k"]), (0, "limit_drift", 9), (1, COMMIT), (2, *PROMOTE),
        (2, "plan_looks", ["k"]), (2, COMMIT), (0, "next_look"), (0, "due_limits", 9),
        (0, "take_slots", [J1, J2], ["k", "k"]), (0, "limit_drift", 9), (0, "mend_looks", 9),
        (0, "place_in_line", J1), (0, "place_in_line", J2), (0, "cached_results", ["k"]),
        (0, "store_results", ["k"], [J1], ["1"], [0.0]), (0, "forget_results", 9),
    ),
    "a schedule from its beginning to its end": _play(
        _scene(_job(1), _job(2), _ready(1)), (0, "add_schedules", [NIGHTLY], ["{}"]),
        (0, "add_schedules", [NIGHTLY, HOURLY], ["{}", '{"n": 2}']), (0, BEGIN),
        (0, "lock_schedules", [HOURLY, NIGHTLY]), (0, *_store_schedules(J1)), (0, COMMIT),
        (0, "due_schedules", 9), (0, "unfinished_jobs", [J1, J2, J3]), (0, "hooked_jobs", [J1]),
        (0, "take_back_jobs", [J1, J2], [BASE - HOUR]), (0, "due_schedules", 9),
        (0, "list_schedules", None, 9), (0, "list_schedules", [HOURLY], 9),
        (0, "delete_schedules", [NIGHTLY]), (0, "lock_schedules", [NIGHTLY, HOURLY]),
    ),
    "a sweep passes over a schedule that somebody advances": _play(
        _scene(_job(1), _job(2)), (0, "add_schedules", [NIGHTLY], ["{}"]),
        (0, *_store_schedules(J3)), (0, BEGIN), (0, "lock_schedules", [NIGHTLY]), (0, *_enqueue(4)),
        (1, "due_schedules", 9), (2, "lock_schedules", [NIGHTLY]), (0, *_store_schedules(JOBS[3])),
        (0, COMMIT), (1, "due_schedules", 9), (1, "unfinished_jobs", [JOBS[3]]),
    ),
    "a job is pulled, cancelled and taken back at once": _play(
        _READY, (0, BEGIN), (0, *PULL), (1, "take_back_jobs", [J1, J2], [BASE - HOUR]),
        (0, ROLLBACK), (2, BEGIN), (2, "cancel_unstarted", [J2], "enough"),
        (1, "take_back_jobs", [J1, J2], [BASE - HOUR]), (2, COMMIT), (0, *PULL),
    ),
    "an ended job is labelled, expires, and is run once more": _play(
        _scene(_job(1), _job(2), _job(3), _failed(1), _failed(2), _failed(3)),
        (0, "store_labels", [J1, J1, J2], ["a", "b", "a"]), (0, "store_labels", [J1], ["a"]),
        (0, "store_expiries", [J1, J2], [0.0, -3600.0]), (0, "job_states", [J1, J2]),
        (0, "list_jobs", None, None, None, 9, None, "a"), (0, "job_origins", [J1, J3]),
        (0, "dead_letters", "failure", None, RED, None, BASE + HOUR, J1, 9), (0, BEGIN),
        (0, "requeue_jobs", [J2, J1]), (1, "expired_jobs", 9), (2, "requeue_jobs", [J3, J2]),
        (0, COMMIT), (0, BEGIN), (0, "old_jobs", 9, 60.0), (1, "requeue_jobs", [J3]),
        (2, "old_jobs", 9, 60.0), (0, "delete_jobs", [J3, J1]), (0, COMMIT),
        (0, "job_attempts", J1), (0, *PULL),
    ),
    "an expiry for nothing": _play(
        _scene(_job(1), _ready(1)), (0, "store_expiries", [J1, J2], [0.0, 0.0]),
        (0, "expired_jobs", 9), (0, "delete_jobs", [J1, J2]), (0, *PULL),
    ),
    "two write one log": _play(
        {}, (0, BEGIN), (0, "store_logs", [J1], [1], [0], ["a"]),
        (1, "store_logs", [J1], [1], [0], ["b"]), (2, "store_logs", [J1], [1], [0], ["c"]),
        (0, COMMIT), (0, "store_logs", [J1], [1], [0], ["d"]),
    ),
    "a flush and a commit of the same job": _play(
        _HELD, (0, *_flush([J1, J2], [0, 0], ["a", "b"], [None, 0.5])),
        (0, *_flush([J1], [0], ["not mine"], [0.9], worker=W2)), (0, BEGIN), (0, *_commit(1, 1)),
        (1, *_flush([J1], [1], ["late"], [0.9])), (0, "store_progress", [J1], [1], [0.75], ["x"]),
        (0, "store_logs", [J1], [1], [1], ["end"]), (0, COMMIT), (0, "follow_logs", J1, 1, 1),
        (0, "follow_logs", J2, 1, 0), (0, "follow_logs", J3, 1, 0), (0, "job_states", [J1, J2]),
    ),
    "a run that begins anew drops what the one before it wrote": _play(
        _HELD, (0, *_flush([J1], [0], ["a"], [0.5])), (0, *_flush([J1], [1], ["b"], [None])),
        (0, *_flush([J1], [2], ["c"], [0.75])), (0, BEGIN), (0, *_flush([J1], [0], [""], [0.5])),
        (0, *_flush([J1], [0], ["x"], [0.25])), (1, "job_states", [J1, J2]), (1, "job_logs", J1),
        (1, "store_logs", [J1], [1], [1], ["y"]), (0, COMMIT), (0, "job_logs", J1),
    ),
    "the same news twice is told once": _play(
        {}, (0, BEGIN), (0, "notify_done", [J1, J1, J2]), (0, "notify_done", [J1]), (0, COMMIT),
        (1, "notify_ready", [RED, RED]), (2, BEGIN), (2, "notify_done", [J3]), (2, ROLLBACK),
    ),
}
# fmt: on
