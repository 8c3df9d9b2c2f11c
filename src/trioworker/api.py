"""The public names: what `import trioworker` offers, gathered from where it is made."""

from trioworker.app import App, Call, Flavour, JobContext, JobFunction
from trioworker.calls import Calls
from trioworker.children import Child, SyncChild
from trioworker.client import Client, open_client
from trioworker.errors import (
    Cancel,
    ChildCancelled,
    ChildFailed,
    DuplicateJob,
    InvalidArguments,
    JobFailed,
    ReplayMismatch,
    Retry,
    SchemaMismatch,
    SettingsError,
    Snooze,
    StoreError,
    TrioworkerError,
    UnknownJob,
    UnknownSchedule,
    UsageError,
    WaitTimeout,
)
from trioworker.ids import new_id
from trioworker.model.follow_ups import EndedJob
from trioworker.model.job import Kind, NewJob
from trioworker.model.job_settings import JobSettings
from trioworker.model.options import (
    Debounce,
    Handler,
    JobOptions,
    Limit,
    RetryPolicy,
    Unique,
)
from trioworker.model.outcome import JobError
from trioworker.model.schedule_state import ScheduleState
from trioworker.model.state import (
    Cancellation,
    Flaw,
    JobAttempt,
    JobLogText,
    JobProgress,
    JobState,
    NewIds,
    PlaceInLine,
    Requeued,
    State,
    TagCounts,
    WorkerState,
)
from trioworker.schedules import Schedules
from trioworker.sync_calls import SyncCalls

__all__ = [
    "App",
    "Call",
    "Calls",
    "Cancel",
    "Cancellation",
    "Child",
    "ChildCancelled",
    "ChildFailed",
    "Client",
    "Debounce",
    "DuplicateJob",
    "EndedJob",
    "Flavour",
    "Flaw",
    "Handler",
    "InvalidArguments",
    "JobAttempt",
    "JobContext",
    "JobError",
    "JobFailed",
    "JobFunction",
    "JobLogText",
    "JobOptions",
    "JobProgress",
    "JobSettings",
    "JobState",
    "Kind",
    "Limit",
    "NewIds",
    "NewJob",
    "PlaceInLine",
    "ReplayMismatch",
    "Requeued",
    "Retry",
    "RetryPolicy",
    "ScheduleState",
    "Schedules",
    "SchemaMismatch",
    "SettingsError",
    "Snooze",
    "State",
    "StoreError",
    "SyncCalls",
    "SyncChild",
    "TagCounts",
    "TrioworkerError",
    "Unique",
    "UnknownJob",
    "UnknownSchedule",
    "UsageError",
    "WaitTimeout",
    "WorkerState",
    "new_id",
    "open_client",
]
