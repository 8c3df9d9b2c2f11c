"""What an agent and its server say to each other: JSON, one record for each request and reply.

Rule of this file: data and its bounds, and how it becomes what the worker and the store know. Jobs
and outcomes are arrays, because there are hundreds in a body; later versions add at their ends. The
garbage collector need not look through them: they hold nothing that could lead back to them.
An agent sends back of a job only which one it is: what the job is, the server knows better.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Final, TypeAlias
from uuid import UUID

import msgspec

from trioworker.errors import StoreError
from trioworker.model.batching import SIZE_MAX
from trioworker.model.cache import CachedResult
from trioworker.model.completion import storable, storable_error
from trioworker.model.job import ARGS_BYTES_MAX, Job
from trioworker.model.options import (
    LABEL_BYTES_MAX,
    LABELS_MAX,
    NO_OPTIONS,
    JobOptions,
    options_of,
)
from trioworker.model.outcome import (
    ERROR_MESSAGE_CHARS_MAX,
    Begun,
    Cancelled,
    Executed,
    Failed,
    Interrupted,
    JobError,
    Outcome,
    Retried,
    Skipped,
    Snoozed,
    Succeeded,
)
from trioworker.model.planner import NO_FLOORS, FloorColumns
from trioworker.model.progress import Progress
from trioworker.model.running import Said
from trioworker.store.protocol import Counters

PREFIX: Final = "/api/agent_workers/"
HINT_WAIT_S_MAX: Final = 30.0
LEASE_S_MAX: Final = 3_600.0
FLUSHES_MAX: Final = 2**31 - 1
LOG_CHARS_MAX: Final = 128 * 1024
"""More than any job writes that is stored."""
_NO_OPTIONS: Final = msgspec.Raw(b"null")

Size = Annotated[int, msgspec.Meta(ge=1, le=SIZE_MAX)]
Seconds = Annotated[float, msgspec.Meta(ge=0)]
Text = Annotated[str, msgspec.Meta(max_length=200)]
Label = Annotated[str, msgspec.Meta(min_length=1, max_length=LABEL_BYTES_MAX)]
LogText = Annotated[str, msgspec.Meta(max_length=LOG_CHARS_MAX)]
Preprocessed = Annotated[str, msgspec.Meta(max_length=ARGS_BYTES_MAX)]
Chunk = Annotated[int, msgspec.Meta(ge=0)]


# ---- requests -------------------------------------------------------------------------------


class Register(msgspec.Struct, frozen=True):
    """A worker introduces itself. Which tags it takes, its token says."""

    worker: UUID
    name: Text
    host: Text
    pid: int
    mode: Text
    lease_s: Annotated[float, msgspec.Meta(gt=0, le=LEASE_S_MAX)]


class Mine(msgspec.Struct, frozen=True):
    """A request that says no more than whose it is."""

    worker: UUID


class Beat(msgspec.Struct, frozen=True):
    """See `Store.heartbeat`."""

    worker: UUID
    counters: Counters


class Pull(msgspec.Struct, frozen=True):
    """See `Store.pull`; `own` asks for the jobs, too, that only this worker may run."""

    worker: UUID
    claim: UUID
    batch_size: Size = 1
    alone_from: Annotated[int, msgspec.Meta(ge=1)] = 1
    floors: FloorColumns = NO_FLOORS
    own: bool = False


class Adopt(msgspec.Struct, frozen=True):
    """See `Store.adopt`."""

    worker: UUID
    known: Annotated[Sequence[UUID], msgspec.Meta(max_length=SIZE_MAX)]


class Which(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Which attempt of which job, and the claim it stands in."""

    claim: UUID
    id: UUID
    attempt: int

    @classmethod
    def of(cls, job: Job) -> "Which":
        """What an agent says of `job`."""
        return cls(job.claim, job.id, job.attempt)


class Result(msgspec.Struct, frozen=True, tag="Succeeded", gc=False):
    """A success as it is sent; its JSON is base64, so that a broken one breaks no neighbour."""

    result: bytes


SentOutcome: TypeAlias = (
    Result | Failed | Retried | Snoozed | Cancelled | Skipped | Interrupted | Begun
)


class Sent(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """See `Executed`; `age_s` is how long ago the attempt began."""

    job: Which
    outcome: SentOutcome
    age_s: Seconds
    duration_s: Seconds
    log: LogText = ""
    log_chunk: Chunk = 0
    labels: Annotated[tuple[Label, ...], msgspec.Meta(max_length=LABELS_MAX)] = ()
    cached: bool = False
    progress: Progress | None = None
    preprocessed: Preprocessed | None = None


class Commit(msgspec.Struct, frozen=True):
    """See `Store.commit`."""

    worker: UUID
    outcomes: Annotated[Sequence[Sent], msgspec.Meta(min_length=1, max_length=SIZE_MAX)]
    again: bool = False


class GiveBack(msgspec.Struct, frozen=True):
    """Jobs that were claimed and not begun."""

    worker: UUID
    jobs: Annotated[Sequence[Which], msgspec.Meta(min_length=1, max_length=SIZE_MAX)]
    again: bool = False


class Written(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """See `Said`."""

    job: Which
    chunk: Chunk
    text: LogText
    progress: Progress | None = None


class Logs(msgspec.Struct, frozen=True):
    """See `Store.store_running`."""

    worker: UUID
    number: Annotated[int, msgspec.Meta(ge=1, le=FLUSHES_MAX)]
    said: Annotated[Sequence[Written], msgspec.Meta(max_length=SIZE_MAX)]


class Cached(msgspec.Struct, frozen=True):
    """See `Store.cached_results`."""

    worker: UUID
    keys: Annotated[Sequence[Text], msgspec.Meta(max_length=SIZE_MAX)]


class Listen(msgspec.Struct, frozen=True):
    """Asks for hints, and to be answered after `wait_s` seconds without one."""

    worker: UUID
    wait_s: Annotated[float, msgspec.Meta(ge=0, le=HINT_WAIT_S_MAX)]


# ---- replies --------------------------------------------------------------------------------


class Handed(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A claimed job; see `Job`. `left_s` is how long it has until its deadline.

    Its options are read one job at a time: what one agent is too old for is that job's defect.
    """

    id: UUID
    attempt: int
    reaped: int
    kind: str
    path: str
    args: str
    tag: str
    priority: int
    scheduled_for: datetime
    awaited: bool
    options: msgspec.Raw
    defect: str | None = None
    left_s: float | None = None


class Batch(msgspec.Struct, frozen=True):
    """The jobs of one claim, best first."""

    claim: UUID
    jobs: Sequence[Handed]


class Batches(msgspec.Struct, frozen=True):
    """The jobs of several claims."""

    batches: Sequence[Batch]


class Beaten(msgspec.Struct, frozen=True):
    """See `Heartbeat`."""

    alive: bool
    cancels: Mapping[UUID, str]


class Lost(msgspec.Struct, frozen=True):
    """The ids of which nothing was stored, because their lease was lost."""

    lost: Sequence[UUID]


class Found(msgspec.Struct, frozen=True):
    """A result that is kept; see `CachedResult`."""

    job: UUID
    age_s: float
    result: bytes


class Results(msgspec.Struct, frozen=True):
    """The results that are kept, by their keys."""

    results: Mapping[str, Found]


class Due(msgspec.Struct, frozen=True):
    """Seconds until the next scheduled job is due; None when there is none."""

    seconds: float | None


class Hints(msgspec.Struct, frozen=True):
    """What may be worth a look: tags, or the worker's cancels; or anything may have happened.

    `done` are children that it has asked for, and that have ended since.
    """

    tags: Sequence[str] = ()
    cancels: bool = False
    anything: bool = False
    done: Sequence[str] = ()


class Done(msgspec.Struct, frozen=True):
    """It is done, and there is nothing to tell."""


class Refusal(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why something was not done: a sentence, and for a failure of the store what it was."""

    error: str
    failure: str | None = None
    sqlstate: str | None = None
    ambiguous: bool = False


# ---- both ways ------------------------------------------------------------------------------


def sent(executed: Executed, *, now_s: float) -> Sent:
    """What an agent sends of the end of a job."""
    return Sent(
        Which.of(executed.job),
        _sent_outcome(executed.outcome),
        max(0.0, now_s - executed.started_s),
        executed.duration_s,
        executed.log,
        executed.log_chunk,
        executed.labels,
        executed.cached,
        executed.progress,
        executed.preprocessed,
    )


def _sent_outcome(outcome: Outcome) -> SentOutcome:
    """SQL that a job hands over stays here: whoever runs an agent is no user of the database.

    What went wrong is told in words that can be sent: it must never be lost for its own sake.
    """
    match outcome:
        case Succeeded(result, statements):  # first, for it is by far the most frequent
            return _no_sql() if statements else Result(result)
        case Failed(error, _, for_good):
            return Failed(storable_error(error), for_good=for_good)
        case Retried(error, delay_s):
            return Retried(storable_error(error), delay_s)
        case Cancelled(reason) | Skipped(reason):
            return type(outcome)(storable(reason, ERROR_MESSAGE_CHARS_MAX))
        case _:
            return outcome


def _no_sql() -> Failed:
    message = "a job on an agent cannot commit SQL with its end; run it on a worker with a database"
    return Failed(JobError("NotAllowed", message))


def executed(one: Sent, job: Job, *, now_s: float) -> Executed:
    """The same as the store takes it; `job` is what the server knows of it."""
    outcome = one.outcome
    return Executed(
        job, Succeeded(outcome.result) if isinstance(outcome, Result) else outcome,
        now_s - one.age_s, one.duration_s, one.log, one.log_chunk, one.labels, one.cached,
        one.progress, one.preprocessed,
    )  # fmt: skip


def handed(jobs: Iterable[Job], *, now_s: float) -> list[Batch]:
    """What a server sends of claimed jobs: a batch for each run of neighbours of one claim."""
    batches: list[tuple[UUID, list[Handed]]] = []
    for job in jobs:
        if not batches or batches[-1][0] != job.claim:
            batches.append((job.claim, []))
        batches[-1][1].append(_handed(job, now_s))
    return [Batch(claim, members) for claim, members in batches]


def _handed(job: Job, now_s: float) -> Handed:
    return Handed(
        job.id, job.attempt, job.reaped, job.kind, job.path, job.args, job.tag, job.priority,
        job.scheduled_for, job.awaited, _raw(job.options), job.defect,
        None if job.deadline_s is None else job.deadline_s - now_s,
    )  # fmt: skip


def _raw(options: JobOptions) -> msgspec.Raw:
    return _NO_OPTIONS if options is NO_OPTIONS else msgspec.Raw(msgspec.json.encode(options))


def jobs_of(batch: Batch, *, now_s: float) -> list[Job]:
    """The jobs of a batch as a worker holds them, whose clock says `now_s`."""
    return [_job(one, batch.claim, now_s) for one in batch.jobs]


def _job(one: Handed, claim: UUID, now_s: float) -> Job:
    options, defect = options_of(None if one.options == _NO_OPTIONS else bytes(one.options))
    return Job(
        one.id, claim, one.attempt, one.reaped, one.kind, one.path, one.args, one.tag,
        one.priority, one.scheduled_for, one.awaited, options, one.defect or defect,
        None if one.left_s is None else now_s + one.left_s,
    )  # fmt: skip


def written(said: Iterable[Said]) -> list[Written]:
    """What an agent sends of what running jobs have said."""
    return [Written(Which.of(one.job), one.chunk, one.text, one.progress) for one in said]


def said(one: Written, job: Job) -> Said:
    """The same as the store takes it; `job` is what the server knows of it."""
    return Said(job, one.chunk, one.text, one.progress)


def found(results: Mapping[str, CachedResult]) -> Results:
    """What a server sends of kept results."""
    return Results({key: Found(*cached) for key, cached in results.items()})


def refusal(error: StoreError, sentence: str) -> Refusal:
    """What a server sends of a failure of its store; an agent makes the same error of it."""
    return Refusal(sentence, type(error).__name__, error.sqlstate, error.ambiguous)
