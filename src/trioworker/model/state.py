"""What a job, a worker and the queue look like to somebody who asks.

Rule of this file: answers only, as they stood at one moment; nothing is decided from them. Times
are the database's, with their time zone.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal, get_args
from uuid import UUID

import msgspec

from trioworker.model.outcome import JobError

Ended = Literal["success", "failure", "canceled", "skipped"]
State = Literal["ready", "scheduled", "waiting", "running", "nowhere", Ended]
WaitsFor = Literal["slot", "steps", "approval"]
ENDED: Final[frozenset[str]] = frozenset(get_args(Ended))
STATES: Final[tuple[str, ...]] = get_args(State)


class JobProgress(msgspec.Struct, frozen=True):
    """What a job has told last of its progress: from 0 to 1, in words, and when it was stored."""

    fraction: float
    note: str
    told_at: datetime


class JobState(msgspec.Struct, frozen=True, kw_only=True):
    """Where a job stands and what became of it.

    `state` is "scheduled" for what is ready but not yet due; "nowhere" is what no job should ever
    be in. `args` and `result` are decoded JSON; text that holds a number too large for that is
    left as it is. `attempt` is the one that runs, ran last, or comes next; `reaped` counts the
    workers lost with this job in their hands. `worker` holds it, or held it last. `claimed_at`
    is of a running job, `scheduled_for` of a ready or scheduled one; the others of an ended one,
    the labels among them. A waiting one `waits_for` a slot, its own steps (it is a flow) or the
    approval of people. What is a step stands at the place `step` of the job `flow`. `progress` is
    what the attempt `attempt` has told last, if it told any.
    """

    id: UUID
    kind: str
    path: str
    args: Any
    tag: str
    priority: int
    state: State
    attempt: int | None
    reaped: int | None
    worker: UUID | None
    created_at: datetime
    scheduled_for: datetime | None
    claimed_at: datetime | None
    started_at: datetime | None
    completed_at: datetime | None
    duration_ms: int | None
    result: Any
    error: JobError | None
    labels: Sequence[str] = ()
    waits_for: WaitsFor | None = None
    flow: UUID | None = None
    step: str | None = None
    progress: JobProgress | None = None

    @property
    def ended(self) -> bool:
        """Whether this is final."""
        return self.state in ENDED


class JobLogText(msgspec.Struct, frozen=True):
    """What a job wrote in one attempt."""

    attempt: int
    text: str


class JobAttempt(msgspec.Struct, frozen=True):
    """An attempt that failed and was followed by another.

    One that was lost with its worker has no start and no duration: nobody is left who knows.
    """

    attempt: int
    error: JobError
    worker: UUID | None
    started_at: datetime | None
    duration_ms: int | None


class JobStep(msgspec.Struct, frozen=True):
    """A step of a function whose result is stored, so that it is not done again."""

    name: str
    result: Any
    at: datetime


class Cancellation(msgspec.Struct, frozen=True):
    """What a request to cancel did, by job.

    The `ended` were unstarted and are canceled now. The `asked` are running: their workers have
    been told to stop them. What had ended before, or never existed, is in neither. `more` says
    that there are more children than one request cancels; the same request again goes on.
    """

    ended: Sequence[UUID]
    asked: Sequence[UUID]
    more: bool = False


class Requeued(msgspec.Struct, frozen=True):
    """What became of ended jobs that are to be run again.

    The `ready` will be, as further attempts. In `kept_out` are unique jobs that stay as they are,
    and which other jobs hold their keys. What had not failed, or never existed, is in neither.
    """

    ready: Sequence[UUID]
    kept_out: Mapping[UUID, UUID]


class PlaceInLine(msgspec.Struct, frozen=True):
    """For a slot of which concurrency key a job waits, and where it stands in the line.

    `place` is 1 for the next one, counted among those that are due by `due_at` or by now. `slots`
    is how many there are, None while nobody has looked yet. `taken` are those of other jobs; the
    `spent` ones are left by jobs that have ended, and the first of them is free at `opens_at`.
    """

    key: str
    due_at: datetime
    place: int
    slots: int | None
    taken: int
    spent: int
    opens_at: datetime | None


class WorkerState(msgspec.Struct, frozen=True, kw_only=True):
    """A worker as it introduced itself, and its last heartbeat.

    `ranks` has the rank of each of its `tags`; jobs of the highest are claimed first.
    "silent" is one whose lease is over and not taken away yet. `claimed` is how many jobs its
    claims hold; the other counts are its own, since it started.
    """

    id: UUID
    name: str
    host: str
    pid: int
    mode: str
    tags: Sequence[str]
    ranks: Sequence[int]
    state: Literal["alive", "silent", "lost", "stopped"]
    started_at: datetime
    last_heartbeat: datetime
    claimed: int
    jobs_done: int
    jobs_failed: int
    jobs_running: int


class Flaw(msgspec.Struct, frozen=True):
    """Something that is not as it should be: `what`, of which concurrency key or flow, and job."""

    what: str
    key: str
    job: UUID


class NewIds(list[UUID]):
    """Ids of new jobs, in order; `first` has the others that were to be unique.

    It says of each of those, by its id, which job holds its key.
    """

    def __init__(self) -> None:
        super().__init__()
        self.first: dict[UUID, UUID] = {}


class TagCounts(msgspec.Struct, frozen=True):
    """How many unfinished jobs of a tag stand where."""

    tag: str
    ready: int
    scheduled: int
    waiting: int
    running: int
