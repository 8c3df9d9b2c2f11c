"""The rows of every table, in the order of the columns in the migrations.

Arrays are tuples: a row never changes, an update makes a new version of it.
"""

from datetime import datetime
from uuid import UUID

import msgspec


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all rows."""


class JobRow(Row, frozen=True, kw_only=True):
    """What was asked. `args` and `options` are JSON text."""

    id: UUID
    kind: str
    path: str
    args: str
    tag: str
    priority: int
    options: str | None
    awaited: bool
    created_at: datetime
    created_by: str
    parent: UUID | None = None


class ReadyRow(Row, frozen=True, kw_only=True):
    """May be pulled now or when due."""

    id: UUID
    tag: str
    priority: int
    scheduled_for: datetime
    attempt: int = 1
    reaped: int = 0


class WaitingRow(Row, frozen=True, kw_only=True):
    """May not be pulled yet."""

    id: UUID
    reason: str
    until: datetime | None
    attempt: int
    reaped: int
    since: datetime
    key: str | None = None
    priority: int | None = None
    scheduled_for: datetime | None = None
    fresh: bool = False


class ClaimRow(Row, frozen=True, kw_only=True):
    """One batch in the hands of one worker."""

    id: UUID
    worker: UUID
    ids: tuple[UUID, ...]
    attempts: tuple[int, ...]
    reaped: tuple[int, ...]
    claimed_at: datetime
    flushed: int = 0


class CompletedRow(Row, frozen=True, kw_only=True):
    """What is finished. `result` and `error` are JSON text."""

    id: UUID
    status: str
    result: str | None
    error: str | None
    worker: UUID | None
    attempt: int
    reaped: int
    started_at: datetime | None
    completed_at: datetime
    duration_ms: int | None


class LogRow(Row, frozen=True, kw_only=True):
    """A piece of what a job wrote."""

    id: UUID
    attempt: int
    chunk: int
    text: str


class AttemptRow(Row, frozen=True, kw_only=True):
    """An attempt that failed or was lost, followed by another. `error` is JSON text."""

    id: UUID
    attempt: int
    error: str
    worker: UUID | None
    started_at: datetime | None
    duration_ms: int | None


class LabelRow(Row, frozen=True, kw_only=True):
    """A label of a job that has ended."""

    id: UUID
    label: str


class ProgressRow(Row, frozen=True, kw_only=True):
    """How far a job has come, as one of its attempts has told last."""

    id: UUID
    attempt: int
    fraction: float
    note: str
    told_at: datetime


class ExpiryRow(Row, frozen=True, kw_only=True):
    """When an ended job is deleted."""

    id: UUID
    at: datetime


class ConcurrencyRow(Row, frozen=True, kw_only=True):
    """The limit of a concurrency key."""

    key: str
    slots: int
    window_s: float | None
    said_at: datetime
    look_at: datetime | None = None


class SlotRow(Row, frozen=True, kw_only=True):
    """A job that counts against a limit."""

    id: UUID
    key: str


class SpentRow(Row, frozen=True, kw_only=True):
    """Slots that stay taken until their window has passed."""

    key: str
    free_at: datetime
    slots: int


class UniqueKeyRow(Row, frozen=True, kw_only=True):
    """Which job took a key last."""

    sort: str
    key: str
    job: UUID | None = None
    during: str | None = None
    until: datetime | None = None
    first_at: datetime | None = None
    look_at: datetime


class ResultRow(Row, frozen=True, kw_only=True):
    """A result that equal jobs may take over. `result` is JSON text."""

    key: str
    job: UUID
    result: str
    stored_at: datetime
    expires_at: datetime


class ScriptRow(Row, frozen=True, kw_only=True):
    """A version of a deployed script. `requirements` and `lock` are JSON text."""

    path: str
    version: int
    hash: str
    language: str
    dedicated: bool
    content: str
    requirements: str
    lock: str | None = None
    created_at: datetime
    created_by: str


class PreprocessedRow(Row, frozen=True, kw_only=True):
    """What a script has made of a job's arguments. `args` is JSON text."""

    id: UUID
    args: str


class WorkerRow(Row, frozen=True, kw_only=True):
    """A worker, alive or not."""

    id: UUID
    name: str
    host: str
    pid: int
    mode: str
    tags: tuple[str, ...]
    lease_s: float
    started_at: datetime
    last_heartbeat: datetime
    lost_at: datetime | None = None
    stopped_at: datetime | None = None
    jobs_done: int = 0
    jobs_failed: int = 0
    jobs_running: int = 0
    ranks: tuple[int, ...]
    token: UUID | None = None


class TokenRow(Row, frozen=True, kw_only=True):
    """A token that was made for agents."""

    id: UUID
    worker_group: str
    tags: tuple[str, ...]
    ranks: tuple[int, ...]
    created_at: datetime
    created_by: str
    expires_at: datetime | None = None
    revoked_at: datetime | None = None


class ScheduleRow(Row, frozen=True, kw_only=True):
    """What is enqueued again and again, and how far it has come. `definition` is JSON text."""

    name: str
    definition: str
    paused: bool = False
    last_tick: datetime | None = None
    pending: UUID | None = None
    decided_until: datetime
    look_at: datetime | None
    failures: int = 0
    problem: str | None = None
    created_at: datetime


class FlowRow(Row, frozen=True, kw_only=True):
    """A version of a flow. `definition` is JSON text."""

    path: str
    version: int
    definition: str
    created_at: datetime
    created_by: str = ""


class FlowStateRow(Row, frozen=True, kw_only=True):
    """A flow under way. `state` is JSON text."""

    id: UUID
    root: UUID
    path: str
    version: int
    state: str
    attempt: int
    reaped: int
    worker: UUID | None = None
    began_at: datetime


class DecisionRow(Row, frozen=True, kw_only=True):
    """What somebody has said of an approval. `form` is JSON text."""

    job: UUID
    by: str
    approved: bool
    form: str
    decided_at: datetime


class StepRow(Row, frozen=True, kw_only=True):
    """What a step of a function has returned; JSON text."""

    job: UUID
    name: str
    result: str
    at: datetime


class ParentRow(Row, frozen=True, kw_only=True):
    """A job that has enqueued children."""

    id: UUID
    tries: int
    since: datetime


class CancelRow(Row, frozen=True, kw_only=True):
    """A request to stop a job."""

    id: UUID
    reason: str
    requested_at: datetime


class EffectRow(Row, frozen=True, kw_only=True):
    """What a statement has done that a job handed over; a user's table, none of ours.

    `said` is JSON text.
    """

    number: int
    job: UUID
    attempt: int
    execution: int
    said: str = ""
    marks: tuple[float, ...] = ()


class MigrationRow(Row, frozen=True, kw_only=True):
    """A migration that was applied."""

    number: int
    name: str
    applied_at: datetime
