"""What happens in a worker, as frozen records, and `Emit`, through which they leave it.

Rule of this file: the flow says what happened in one line and does not know who listens. Logs,
metrics, progress bars, the statement log and the simulator's trace are sinks.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias
from uuid import UUID

import msgspec


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all records."""


class StatementRun(Event, frozen=True, kw_only=True):
    """The database ran a named statement.

    `jobs` is how many jobs it could have claimed or stored at most, 0 where it does neither.
    """

    name: str
    lane: str
    jobs: int
    rows: int


class WorkerStarted(Event, frozen=True, kw_only=True):
    """A worker registered under a new id."""

    worker: UUID
    mode: str
    tags: Sequence[str]


class ChunksCut(Event, frozen=True, kw_only=True):
    """A function asks for chunks of more calls than the worker runs jobs at once."""

    path: str
    chunk: int
    concurrency: int
    message: str


class SchedulesDeclared(Event, frozen=True, kw_only=True):
    """The app's schedules were stored: those that are new or say something else than before."""

    new: Sequence[str]
    changed: Sequence[str]


class SchedulesLeft(Event, frozen=True, kw_only=True):
    """Schedules that the app has declared before, and does not any more, go on as they are."""

    names: Sequence[str]
    message: str


class JobsLeft(Event, frozen=True, kw_only=True):
    """A drain is over, and jobs of its tags are not: due `later`, `waiting`, or in other hands."""

    later: int
    waiting: int
    running: int
    message: str


class WorkerStopping(Event, frozen=True, kw_only=True):
    """A graceful stop began: nothing is pulled any more."""

    worker: UUID
    running: int
    buffered: int


class WorkerStopped(Event, frozen=True, kw_only=True):
    """A worker ended. `unsaved` are the jobs in its hands of which nothing could be stored."""

    worker: UUID
    unsaved: Sequence[UUID]


class BatchPulled(Event, frozen=True, kw_only=True):
    """A pull was answered with at least one job."""

    worker: UUID
    claim: UUID
    asked: int
    jobs: Sequence[UUID]
    seconds: float


class BatchAdopted(Event, frozen=True, kw_only=True):
    """Claims whose reply was lost were found again."""

    worker: UUID
    jobs: Sequence[UUID]


class BatchHanded(Event, frozen=True, kw_only=True):
    """A commit has made jobs for this worker alone, and claimed them for it."""

    worker: UUID
    claim: UUID
    jobs: Sequence[UUID]


class PullFailed(Event, frozen=True, kw_only=True):
    """A pull failed; the next try comes after a pause. An `ambiguous` one may have claimed jobs."""

    worker: UUID
    failure: str
    message: str
    ambiguous: bool = False


class JobStarted(Event, frozen=True, kw_only=True):
    """An attempt begins to run. Emitted only to sinks that ask for every job."""

    worker: UUID
    job: UUID
    attempt: int


class JobEnded(Event, frozen=True, kw_only=True):
    """An attempt is over; `outcome` is the name of its class."""

    worker: UUID
    job: UUID
    attempt: int
    outcome: str


class BatchStored(Event, frozen=True, kw_only=True):
    """A transaction stored outcomes. `lost` of its `jobs` had no claim any more: dropped."""

    worker: UUID
    jobs: Sequence[UUID]
    stored: int
    failed: int
    lost: Sequence[UUID]
    seconds: float


class CommitFailed(Event, frozen=True, kw_only=True):
    """A commit of `jobs` failed, and `step` is what comes next.

    An `ambiguous` one may have stored them all the same.
    """

    worker: UUID
    jobs: Sequence[UUID]
    size: int
    tries: int
    failure: str
    step: str
    message: str
    ambiguous: bool = False


class OutcomeRefused(Event, frozen=True, kw_only=True):
    """The database will not take this outcome: a failure is stored in its place."""

    worker: UUID
    job: UUID
    message: str


class OutcomeAbandoned(Event, frozen=True, kw_only=True):
    """Not even the failure could be stored; the job stays claimed, and it is resumed later."""

    worker: UUID
    job: UUID
    message: str


class OutcomeResumed(Event, frozen=True, kw_only=True):
    """The worker tries to store an outcome that it had abandoned."""

    worker: UUID
    job: UUID


class LeaseDoubtful(Event, frozen=True, kw_only=True):
    """The lease could not be renewed in time: what runs is stopped before the lease ends."""

    worker: UUID
    silent_s: float


class LeaseTaken(Event, frozen=True, kw_only=True):
    """The lease was taken away: this worker id is dead, its jobs are others'."""

    worker: UUID
    dropped: int


class HeartbeatFailed(Event, frozen=True, kw_only=True):
    """A heartbeat failed; the next one is tried soon."""

    worker: UUID
    failure: str
    message: str


class JobsReaped(Event, frozen=True, kw_only=True):
    """Claims of dead workers were taken back: `ready` again, or `failed` past the limit."""

    worker: UUID
    ready: Sequence[UUID]
    failed: Sequence[UUID]


class CancelReceived(Event, frozen=True, kw_only=True):
    """Somebody asked to cancel a job that this worker runs."""

    worker: UUID
    job: UUID


class FlushFailed(Event, frozen=True, kw_only=True):
    """What running jobs wrote could not be stored; it is stored with the next flush, or the end."""

    worker: UUID
    failure: str
    message: str


class ScriptRan(Event, frozen=True, kw_only=True):
    """A script of the worker's own has ended well: `what` it is, and what it has printed."""

    what: str
    path: str
    seconds: float
    log: str


class ScriptFailed(Event, frozen=True, kw_only=True):
    """A script of the worker's own has failed: `what` it is, why, and what it has printed."""

    what: str
    path: str
    seconds: float
    message: str
    log: str


class LookupFailed(Event, frozen=True, kw_only=True):
    """Nobody knows whether equal jobs have left their results, and then the jobs are run.

    Or which deployed scripts are the newest; then it is looked again.
    """

    worker: UUID
    failure: str
    message: str


class WorkflowFailed(Event, frozen=True, kw_only=True):
    """What a running function asks for (children, how they ended, its steps) comes later."""

    worker: UUID
    failure: str
    message: str


class MaintenanceFailed(Event, frozen=True, kw_only=True):
    """A sweep failed; the next one comes in its turn."""

    worker: UUID
    failure: str
    message: str


class ServerListening(Event, frozen=True, kw_only=True):
    """The server takes requests at `address`; the `message` says what is unusual about it."""

    address: str
    message: str = ""


class RequestServed(Event, frozen=True, kw_only=True):
    """A request was answered. `route` is the pattern of its address, empty where nothing is."""

    method: str
    route: str
    status: int
    seconds: float


class AccessRefused(Event, frozen=True, kw_only=True):
    """Somebody asked with a token or a key that will not do. `reason` is not told to whoever it is.

    `token` and `group` are known of one that is signed. `peer` is an address as the server sees it.
    """

    credential: str
    reason: str
    peer: str
    path: str
    token: UUID | None = None
    group: str | None = None


class RequestFailed(Event, frozen=True, kw_only=True):
    """A request could not be served, and the client is not to blame."""

    method: str
    route: str
    message: str
    where: str


Emit: TypeAlias = Callable[[Event], None]


def fan_out(*sinks: Emit) -> Emit:
    """One `Emit` that hands each event to all sinks, in order."""
    if len(sinks) == 1:
        return sinks[0]

    def emit(event: Event) -> None:
        for sink in sinks:
            sink(event)

    return emit


def discard(_event: Event) -> None:
    """The sink for those who want none."""
