"""What is sent to the jobs API and what it answers: the records behind requests and OpenAPI.

Rule of this file: data only. A field that is left out is as the app says, or the default; null is
said, and means none.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from trioworker.client import CHUNK_JOBS_MAX, JobState, WorkerState
from trioworker.model.bounds import PATH_BYTES_MAX, PRIORITY_MAX, PRIORITY_MIN, TAG_BYTES_MAX
from trioworker.model.job import NewKind
from trioworker.model.job_settings import JobSettings
from trioworker.model.options import (
    DELAY_S_MAX,
    LABEL_BYTES_MAX,
    LABELS_MAX,
    Debounce,
    Handler,
    Limit,
    RetryPolicy,
    Unique,
)
from trioworker.model.outcome import JobError
from trioworker.model.schedule_state import ScheduleState
from trioworker.model.state import JobAttempt, JobLogText, JobStep, State

SETTINGS: Final = tuple(JobSettings.__annotations__)
LIMIT_MAX: Final = 1_000
WAIT_S_MAX: Final = 60.0
REASON_CHARS_MAX: Final = 1_000

Text = Annotated[str, Meta(min_length=1, max_length=TAG_BYTES_MAX, pattern=r"^[^\x00]*$")]
Label = Annotated[str, Meta(min_length=1, max_length=LABEL_BYTES_MAX, pattern=r"^[^\x00]*$")]
Path = Annotated[str, Meta(min_length=1, max_length=PATH_BYTES_MAX, pattern=r"^[^\x00]*$")]
CancelState = Literal["canceled", "asked"]
ARGS: Final = {"type": ["object", "array"], "default": {}}
Moment = Annotated[datetime, Meta(tz=True)]
Limited = Annotated[int, Meta(ge=1, le=LIMIT_MAX, description="At most so many.")]


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of what is sent."""


class NewJobRequest(Request, frozen=True, kw_only=True):
    """A job to be enqueued. Names that end in `_s` are seconds.

    `args` is an object (by name) or an array (by position). A job whose `id` exists already is left
    as it is, so the same request may be repeated. It is due at once, at `scheduled_for`, or
    `delay_s` from now. `awaited` makes waiting for it quick. It is canceled with its `parent`.
    """

    path: Path
    args: Annotated[msgspec.Raw, Meta(extra_json_schema=ARGS)] = msgspec.field(
        default_factory=lambda: msgspec.Raw(b"{}")
    )
    kind: NewKind = "function"
    id: UUID | None = None
    parent: UUID | None = None
    scheduled_for: Moment | None = None
    delay_s: Annotated[float, Meta(ge=0, le=DELAY_S_MAX)] | None = None
    awaited: bool = True
    dedicated: bool = False
    language: str | None = None
    tag: Text | UnsetType | None = UNSET
    priority: Annotated[int, Meta(ge=PRIORITY_MIN, le=PRIORITY_MAX)] | UnsetType | None = UNSET
    timeout_s: Annotated[float, Meta(gt=0)] | UnsetType | None = UNSET
    deadline_s: Annotated[float, Meta(ge=0.001, le=DELAY_S_MAX)] | UnsetType | None = UNSET
    retry: Annotated[int, Meta(ge=1)] | RetryPolicy | UnsetType | None = UNSET
    cache_ttl_s: Annotated[float, Meta(ge=0.001, le=DELAY_S_MAX)] | UnsetType | None = UNSET
    limit: Annotated[int, Meta(ge=1, le=2**31 - 1)] | Limit | UnsetType | None = UNSET
    unique: Unique | UnsetType | None = UNSET
    debounce: Debounce | UnsetType | None = UNSET
    on_error: str | Handler | UnsetType | None = UNSET
    on_success: str | Handler | UnsetType | None = UNSET
    on_recovery: str | Handler | UnsetType | None = UNSET
    muted: bool | UnsetType | None = UNSET
    labels: Annotated[Sequence[Label], Meta(max_length=LABELS_MAX)] | UnsetType | None = UNSET
    restart: bool | UnsetType | None = UNSET
    delete_after_s: Annotated[float, Meta(ge=0, le=DELAY_S_MAX)] | UnsetType | None = UNSET


class NewJobsRequest(Request, frozen=True, kw_only=True):
    """Jobs to be enqueued in one transaction: all of them or none."""

    jobs: Annotated[Sequence[NewJobRequest], Meta(min_length=1, max_length=CHUNK_JOBS_MAX)]


class CancelRequest(Request, frozen=True, kw_only=True):
    """Why a job is canceled; stored with it."""

    reason: Annotated[
        str, Meta(min_length=1, max_length=REASON_CHARS_MAX, pattern=r"^[^\x00]*$")
    ] = "canceled over HTTP"


class JobsQuery(Request, frozen=True, kw_only=True):
    """Which jobs; `before` is the `next` of the page before."""

    state: State | UnsetType = UNSET
    tag: Text | UnsetType = UNSET
    path: Path | UnsetType = UNSET
    label: Label | UnsetType = UNSET
    limit: Limited = 50
    before: UUID | UnsetType = UNSET


class LimitQuery(Request, frozen=True, kw_only=True):
    """How many."""

    limit: Limited = 50


class ResultQuery(Request, frozen=True, kw_only=True):
    """How long to wait for the job to end."""

    wait_s: Annotated[float, Meta(ge=0, le=WAIT_S_MAX)] = 0.0


class Nothing(Request, frozen=True, kw_only=True):
    """No parameters."""


class Enqueued(msgspec.Struct, frozen=True, kw_only=True):
    """The job, and whether it is new; one that is not was there before, or holds the unique key."""

    id: UUID
    new: bool


class EnqueuedJobs(msgspec.Struct, frozen=True, kw_only=True):
    """What became of each job, in the order of the request."""

    jobs: Sequence[Enqueued]


class Jobs(msgspec.Struct, frozen=True, kw_only=True):
    """A page of jobs, the newest first. `next` asks for the page after it; null ends the list."""

    jobs: Sequence[JobState]
    next: UUID | None


class Canceled(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it: "canceled", or "asked" to stop because it runs.

    `jobs` are all that are concerned, those that have it as a parent included. `more` says that
    there are more of these than one request cancels.
    """

    state: CancelState
    jobs: Sequence[UUID]
    more: bool


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """How a job stands: of one that has ended its result, or its error."""

    id: UUID
    state: State
    result: Any = None
    error: JobError | None = None


def result_of(state: JobState) -> Result:
    """How a job stands, for who wants to know no more than that."""
    return Result(id=state.id, state=state.state, result=state.result, error=state.error)


class Attempts(msgspec.Struct, frozen=True, kw_only=True):
    """The attempts that another followed, in order."""

    attempts: Sequence[JobAttempt]


class Logs(msgspec.Struct, frozen=True, kw_only=True):
    """What a job wrote, by attempt."""

    logs: Sequence[JobLogText]


class Children(msgspec.Struct, frozen=True, kw_only=True):
    """The jobs whose parent it is, the oldest first."""

    children: Sequence[JobState]


class Steps(msgspec.Struct, frozen=True, kw_only=True):
    """The steps of its function that are not done again, in order."""

    steps: Sequence[JobStep]


class JobEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A server-sent event.

    `data` is JSON: what it wrote, how far it is, a StepState of a flow, its Result, a Problem.
    """

    event: Literal["log", "progress", "step", "end", "error"]
    data: str


class Retried(msgspec.Struct, frozen=True, kw_only=True):
    """The job is ready once more."""

    id: UUID


class Schedules(msgspec.Struct, frozen=True, kw_only=True):
    """Schedules, by name."""

    schedules: Sequence[ScheduleState]


class Workers(msgspec.Struct, frozen=True, kw_only=True):
    """Workers: those that live, then those that ended last."""

    workers: Sequence[WorkerState]


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """The job that was enqueued."""

    job: UUID


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """The process is there."""

    status: str = "ok"


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong, in one sentence."""

    error: str


def settings_of(request: NewJobRequest) -> dict[str, Any]:
    """What the request says of the settings of a job."""
    said = {name: getattr(request, name) for name in SETTINGS}
    return {name: value for name, value in said.items() if value is not UNSET}
