"""What the simulated world does besides what the workers say: events like theirs, for the trace.

Rule of this file: facts only, as plain data, complete enough that an oracle needs nothing else. A
trace is a sequence of `Happening`s: these events and those of `trioworker.events`, in one order.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple
from uuid import UUID

import msgspec

from sim.database.rows import Row
from trioworker.events import Event
from trioworker.model.outcome import Outcome


class Happening(NamedTuple):
    """One entry of a trace: at which virtual second, to whom, what."""

    at_s: float
    actor: str
    event: Event


class RowChange(msgspec.Struct, frozen=True):
    """One row of a commit, before and after; None where there is none."""

    table: str
    old: Row | None
    new: Row | None


class Committed(Event, frozen=True, kw_only=True):
    """A transaction of the actor took effect, at this very moment.

    `notified` are the notifications that it sent: channel and payload.
    """

    number: int
    changes: Sequence[RowChange]
    notified: Sequence[tuple[str, str]] = ()


class CommitLost(Event, frozen=True, kw_only=True):
    """A crash of the server undid a committed transaction that had not waited for the disk."""

    number: int
    changes: Sequence[RowChange]


class BodyStarted(Event, frozen=True, kw_only=True):
    """A job's body begins to run, in the worker life `worker`."""

    worker: UUID
    job: UUID
    attempt: int
    path: str


class BodyEnded(Event, frozen=True, kw_only=True):
    """A job's body is over. `outcome` is None when it was cancelled from outside.

    `log` is what it wrote, `labels` are those it gave its job.
    """

    worker: UUID
    job: UUID
    attempt: int
    outcome: Outcome | None
    log: str = ""
    labels: tuple[str, ...] = ()


class StepDone(Event, frozen=True, kw_only=True):
    """A job's body has done a step, whose result is not stored yet."""

    worker: UUID
    job: UUID
    attempt: int
    name: str


class Enqueued(Event, frozen=True, kw_only=True):
    """A client has been told that these jobs are stored."""

    jobs: Sequence[UUID]


class KeptOut(Event, frozen=True, kw_only=True):
    """A client has been told that a job is not stored, because the job `first` holds its key.

    It had asked at `asked_s`, in virtual seconds.
    """

    job: UUID
    first: UUID
    asked_s: float


class CancelAsked(Event, frozen=True, kw_only=True):
    """A client asked to cancel these jobs, with or without an answer."""

    jobs: Sequence[UUID]


class CancelAnswered(Event, frozen=True, kw_only=True):
    """A client was told that jobs have `ended`, and that the workers of others were `asked`."""

    ended: Sequence[UUID]
    asked: Sequence[UUID]


class RequeueAsked(Event, frozen=True, kw_only=True):
    """A client asked that these ended jobs be run once more, with or without an answer."""

    jobs: Sequence[UUID]


class RequeueAnswered(Event, frozen=True, kw_only=True):
    """A client was told which of them are `ready`, and which others' keys are taken."""

    ready: Sequence[UUID]
    kept_out: Sequence[UUID]


class DecisionAnswered(Event, frozen=True, kw_only=True):
    """Somebody was told that what he says of an approval is stored, and whether it `ended` it."""

    job: UUID
    by: str
    ended: bool


class LogHeard(Event, frozen=True, kw_only=True):
    """A client who follows what a job writes has heard this of an attempt."""

    job: UUID
    attempt: int
    text: str


class LogFollowed(Event, frozen=True, kw_only=True):
    """A client who followed what a job writes was told that this was all."""

    job: UUID


class FaultFired(Event, frozen=True, kw_only=True):
    """A fault of the plan struck. `fault` names it, so that a plan can leave it out."""

    fault: str


class ConnectFailed(Event, frozen=True, kw_only=True):
    """A process tried to connect to the server, in vain."""

    message: str


class WorkerBorn(Event, frozen=True, kw_only=True):
    """A worker's process was started."""


class WorkerKilled(Event, frozen=True, kw_only=True):
    """A worker's process got SIGKILL."""


class WorkerPaused(Event, frozen=True, kw_only=True):
    """A worker's process got SIGSTOP."""


class WorkerResumed(Event, frozen=True, kw_only=True):
    """A worker's process got SIGCONT."""


class StopAsked(Event, frozen=True, kw_only=True):
    """A worker's process got SIGTERM."""


class WorkerExited(Event, frozen=True, kw_only=True):
    """A worker's process ended by itself. `status` is as an exit status; `unsaved` by id."""

    status: int
    unsaved: Sequence[UUID] = ()


class WorkerCrashed(Event, frozen=True, kw_only=True):
    """A worker's process ended with an error that nobody expected: its class and what it says."""

    error: str


class ApiTurned(Event, frozen=True, kw_only=True):
    """A server of agents was born, killed, paused, resumed, asked to stop, or has exited."""

    to: Literal["born", "killed", "paused", "resumed", "stopping", "exited"]


class ApiCrashed(Event, frozen=True, kw_only=True):
    """A server of agents ended with an error that nobody expected: its class and what it says."""

    error: str


class Answered(Event, frozen=True, kw_only=True):
    """An agent has the answer to a request: its path, its status, and whether it is a hint."""

    path: str
    status: int
    hint: bool = False


class Overtaken(Event, frozen=True, kw_only=True):
    """A request arrived at a server after one that its agent had sent later to the same path."""

    path: str


class ServerDown(Event, frozen=True, kw_only=True):
    """The server stopped; a crash lost `lost` commits that had not waited for the disk."""

    lost: int


class ServerUp(Event, frozen=True, kw_only=True):
    """The server takes connections, as `health` says."""

    health: str


class ClockJumped(Event, frozen=True, kw_only=True):
    """The server's clock was set."""

    seconds: float


class Healed(Event, frozen=True, kw_only=True):
    """No more faults from here on: everything must come to its end."""


class Drained(Event, frozen=True, kw_only=True):
    """All jobs that clients were promised are completed."""
