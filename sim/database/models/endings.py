"""What is stored with the end of a job, and what becomes of ended jobs: gone, or run once more."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from sim.database.models import Rows, Statement, models
from sim.database.models.limits import limit_of
from sim.database.rows import (
    AttemptRow,
    CompletedRow,
    ExpiryRow,
    JobRow,
    LabelRow,
    ReadyRow,
    WaitingRow,
)
from sim.database.values import later

V7 = 7
UNKNOWN = '{"name": "Unknown", "message": ""}'


@models("job_origins")
async def job_origins(s: Statement, ids: Sequence[UUID]) -> Rows:
    """Which job each of the jobs belongs to, and who enqueued it."""
    jobs = [s.find(s.tables.job, id_) for id_ in set(ids)]
    return s.shuffled([(job.id, job.parent, job.created_by) for job in jobs if job is not None])


@models("store_labels")
async def store_labels(s: Statement, ids: Sequence[UUID], labels: Sequence[str]) -> Rows:
    """Gives ended jobs their labels."""
    for id_, label in zip(ids, labels, strict=True):
        await s.insert(s.tables.job_label, LabelRow(label=label, id=id_), do_nothing=True)
    return []


@models("store_expiries")
async def store_expiries(s: Statement, ids: Sequence[UUID], after_s: Sequence[float]) -> Rows:
    """Has ended jobs deleted later."""
    for id_, seconds in zip(ids, after_s, strict=True):
        row = ExpiryRow(id=id_, at=later(s.now, seconds))
        await s.insert(s.tables.expiry, row, on_conflict=partial(_instead, row))
    return []


def _instead(row: ExpiryRow, _before: ExpiryRow) -> ExpiryRow:
    return row


@models("expired_jobs")
async def expired_jobs(s: Statement, limit: int) -> Rows:
    """Locks ended jobs whose time has come."""
    expiries = [
        (row.at, row.id)
        for row in s.rows(s.tables.expiry)
        if row.at <= s.now and not _may_be_asked_for(s, row.id)
    ]
    due = [id_ for _, id_ in sorted(expiries)[:limit]]
    stray = [id_ for id_ in due if s.find(s.tables.job_completed, id_) is None]
    taken = [
        id_
        for id_ in sorted(due)
        if await s.lock(s.tables.job_completed, id_, skip_locked=True) is not None
    ]
    for id_ in s.shuffled(stray):
        await s.delete(s.tables.expiry, id_)
    return [(id_,) for id_ in taken]


@models("old_jobs")
async def old_jobs(s: Statement, limit: int, older_s: float) -> Rows:
    """Locks the jobs that ended first."""
    before = later(s.now, -older_s)
    old = [
        row
        for row in s.rows(s.tables.job_completed)
        if row.completed_at < before and not _may_be_asked_for(s, row.id)
    ]
    made = sorted(row.id for row in old if row.id.version == V7 and _made_at(row.id) < before)
    others = sorted((row.completed_at, row.id) for row in old if row.id.version != V7)
    taken = await _first_free(s, made, before, limit)
    taken += await _first_free(s, [id_ for _, id_ in others], before, limit)
    return [(id_,) for id_ in taken]


def _may_be_asked_for(s: Statement, id_: UUID) -> bool:
    """Whether the job belongs to one that goes on, which may want its result."""
    job = s.find(s.tables.job, id_)
    if job is None or job.parent is None or s.find(s.tables.job, job.parent) is None:
        return False
    return s.find(s.tables.job_completed, job.parent) is None


def _made_at(id_: UUID) -> datetime:
    return later(datetime.fromisoformat("1970-01-01T00:00:00+00:00"), (id_.int >> 80) / 1000)


async def _first_free(
    s: Statement, ids: Sequence[UUID], before: datetime, limit: int
) -> list[UUID]:
    """The first of the ended jobs that nobody has in hand, locked."""

    def old(row: CompletedRow) -> bool:
        return row.completed_at < before

    taken: list[UUID] = []
    for id_ in ids:
        if len(taken) == limit:
            break
        if await s.lock(s.tables.job_completed, id_, still=old, skip_locked=True) is not None:
            taken.append(id_)
    return taken


@models("delete_jobs")
async def delete_jobs(s: Statement, ids: Sequence[UUID]) -> Rows:
    """Deletes all about jobs; what nothing reads is carried out from the last to the first."""
    chosen = set(ids)
    for id_ in s.shuffled(list(ids)):
        await s.delete(s.tables.job, id_)
    for step in s.shuffled([r for r in s.rows(s.tables.job_step) if r.job in chosen]):
        await s.delete(s.tables.job_step, (step.job, step.name))
    for attempt in s.shuffled([r for r in s.rows(s.tables.job_attempt) if r.id in chosen]):
        await s.delete(s.tables.job_attempt, (attempt.id, attempt.attempt))
    for log in s.shuffled([r for r in s.rows(s.tables.job_log) if r.id in chosen]):
        await s.delete(s.tables.job_log, (log.id, log.attempt, log.chunk))
    for said in s.shuffled([r for r in s.rows(s.tables.decision) if r.job in chosen]):
        await s.delete(s.tables.decision, (said.job, said.by))
    for id_ in s.shuffled(list(ids)):
        await s.delete(s.tables.job_progress, id_)
    for id_ in s.shuffled(list(ids)):
        await s.delete(s.tables.job_preprocessed, id_)
    await _unlabel(s, ids)
    for id_ in s.shuffled(list(ids)):
        await s.delete(s.tables.expiry, id_)
    for id_ in s.shuffled(list(ids)):
        await s.delete(s.tables.job_completed, id_)
    return []


async def _unlabel(s: Statement, ids: Sequence[UUID]) -> None:
    chosen = set(ids)
    for label in s.shuffled([r for r in s.rows(s.tables.job_label) if r.id in chosen]):
        await s.delete(s.tables.job_label, (label.id, label.label))


@models("dead_letters")
async def dead_letters(
    s: Statement,
    state: str,
    path: str | None,
    tag: str | None,
    since: datetime | None,
    until: datetime,
    after: UUID | None,
    limit: int,
) -> Rows:
    """Jobs that ended without success."""

    def fits(row: CompletedRow) -> bool:
        job = s.find(s.tables.job, row.id)
        if job is None or path not in (None, job.path) or tag not in (None, job.tag):
            return False
        in_time = (since is None or row.completed_at >= since) and row.completed_at <= until
        return in_time and row.status == state != "success" and (after is None or row.id > after)

    return [(id_,) for id_ in sorted(r.id for r in s.rows(s.tables.job_completed) if fits(r))][
        :limit
    ]


@models("requeue_jobs")
async def requeue_jobs(s: Statement, ids: Sequence[UUID]) -> Rows:
    """Makes jobs that failed or were canceled ready once more."""

    def badly(row: CompletedRow) -> bool:
        return row.status in ("failure", "canceled")

    found = (s.find(s.tables.job_completed, id_) for id_ in sorted(set(ids)))
    failed = [row.id for row in found if row is not None and badly(row)]
    locked = [await s.lock(s.tables.job_completed, id_, still=badly) for id_ in failed]
    again = [
        (done, job)
        for done in locked
        if done is not None and (job := s.find(s.tables.job, done.id)) is not None
    ]
    await _place(s, again)
    await _forget(s, [done.id for done, _ in again])
    for done, _ in again:
        await s.insert(s.tables.job_attempt, _attempt(done), do_nothing=True)
    return [(job.id, job.tag) for _, job in again]


async def _place(s: Statement, again: Sequence[tuple[CompletedRow, JobRow]]) -> None:
    for done, job in again:
        if limit_of(job) is None:
            await s.insert(s.tables.ready, _ready(done, job, s.now))
    for done, job in again:
        if (limit := limit_of(job)) is not None:
            await s.insert(s.tables.waiting, _waiting(done, job, s.now, limit[0]))


async def _forget(s: Statement, ids: Sequence[UUID]) -> None:
    """That the jobs have ended, and what came with it."""
    asked = [id_ for id_ in ids if await s.lock(s.tables.cancel_request, id_) is not None]
    for id_ in s.shuffled(asked):
        await s.delete(s.tables.cancel_request, id_)
    await _unlabel(s, ids)
    for id_ in s.shuffled(list(ids)):
        await s.delete(s.tables.expiry, id_)
    for id_ in s.shuffled(list(ids)):
        await s.delete(s.tables.job_completed, id_)


def _ready(done: CompletedRow, job: JobRow, now: datetime) -> ReadyRow:
    return ReadyRow(
        id=job.id,
        tag=job.tag,
        priority=job.priority,
        scheduled_for=now,
        attempt=done.attempt + 1,
        reaped=_reaped(done),
    )


def _waiting(done: CompletedRow, job: JobRow, now: datetime, key: str) -> WaitingRow:
    return WaitingRow(
        id=job.id,
        reason="limit",
        until=None,
        attempt=done.attempt + 1,
        reaped=_reaped(done),
        since=now,
        key=key,
        priority=job.priority,
        scheduled_for=now,
    )


def _reaped(done: CompletedRow) -> int:
    """What was given up has failed with its last worker; one that it has lost is kept."""
    given_up = done.status == "failure" and done.started_at is None
    return done.reaped - 1 if given_up and done.reaped > 1 else done.reaped


def _attempt(done: CompletedRow) -> AttemptRow:
    fields: dict[str, Any] = {
        name: getattr(done, name) for name in ("id", "attempt", "worker", "started_at")
    }
    return AttemptRow(**fields, error=done.error or UNKNOWN, duration_ms=done.duration_ms)
