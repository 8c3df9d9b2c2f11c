"""What clients ask: enqueue, cancel, where jobs stand."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from sim.database.models import Rows, Statement, models
from sim.database.models.limits import limit_of
from sim.database.rows import (
    CancelRow,
    CompletedRow,
    FlowStateRow,
    JobRow,
    ReadyRow,
    WaitingRow,
)
from sim.database.table import Table


@models("enqueue")
async def enqueue(s: Statement, *columns: Sequence[Any]) -> Rows:
    """Makes jobs ready; returns the ids that are new."""
    new = []
    due_of: dict[UUID, list[datetime | None]] = {}
    for id_, kind, path, args, tag, priority, due, options, awaited, by, parent in zip(
        *columns, strict=True
    ):
        due_of.setdefault(id_, []).append(due)
        row = JobRow(
            id=id_,
            kind=kind,
            path=path,
            args=args,
            tag=tag,
            priority=priority,
            options=options,
            awaited=awaited,
            created_at=s.now,
            created_by=by,
            parent=parent,
        )
        if await s.insert(s.tables.job, row, do_nothing=True):
            new.append(row)
    # An id that comes twice is joined with both of its due times.
    placed = [(job, due) for job in new for due in due_of[job.id]]
    # The parts that nothing reads are carried out from the last to the first.
    for job, due in placed:
        if job.kind == "approval":
            await s.insert(s.tables.waiting, _undecided(job, due, s.now))
    decided = [(job, due or s.now) for job, due in placed if job.kind != "approval"]
    for job, when in decided:
        if limit_of(job) is None:
            await s.insert(s.tables.ready, _ready(job, when))
    for job, when in decided:
        if (limit := limit_of(job)) is not None:
            await s.insert(s.tables.waiting, _waiting(job, when, limit[0]))
    return s.shuffled([(job.id,) for job in new])


def _undecided(job: JobRow, until: datetime | None, now: datetime) -> WaitingRow:
    return WaitingRow(id=job.id, reason="approval", until=until, attempt=1, reaped=0, since=now)


def _ready(job: JobRow, due: datetime) -> ReadyRow:
    return ReadyRow(id=job.id, tag=job.tag, priority=job.priority, scheduled_for=due)


def _waiting(job: JobRow, due: datetime, key: str) -> WaitingRow:
    return WaitingRow(
        id=job.id,
        reason="limit",
        until=None,
        attempt=1,
        reaped=0,
        since=job.created_at,
        key=key,
        priority=job.priority,
        scheduled_for=due,
    )


@models("notify_ready")
async def notify_ready(s: Statement, tags: Sequence[str]) -> Rows:
    """Hints to idle workers."""
    for tag in tags:
        s.notify("trioworker_ready", tag)
    return [(None,)] * len(tags)


@models("family")
async def family(s: Statement, ids: Sequence[UUID], limit: int) -> Rows:
    """The unfinished among the jobs and all below them."""
    found = dict.fromkeys(ids)
    generation = list(found)
    while generation:
        parents = set(generation)
        generation = [
            row.id for row in s.rows(s.tables.job) if row.parent in parents and row.id not in found
        ]
        found.update(dict.fromkeys(generation))
    unfinished = [
        (id_, _schedule_of(s, id_)) for id_ in found if s.find(s.tables.job_completed, id_) is None
    ]
    return s.shuffled(unfinished[:limit])


def _schedule_of(s: Statement, id_: UUID) -> str | None:
    job = s.find(s.tables.job, id_)
    if job is None or job.options is None:
        return None
    schedule: str | None = msgspec.json.decode(job.options).get("schedule")
    return schedule


@models("cancel_unstarted")
async def cancel_unstarted(
    s: Statement, ids: Sequence[UUID], reason: str, outermost: Sequence[UUID]
) -> Rows:
    """Ends the jobs that no worker holds."""
    error = msgspec.json.encode({"name": "Cancelled", "message": reason}).decode()
    ended = await _end_unstarted(s, s.tables.ready, ids, error)
    # The rows in waiting are locked only when all of ready have been dealt with.
    ended += await _end_unstarted(s, s.tables.waiting, ids, error)
    for id_ in s.shuffled(sorted(set(ids))):
        found = s.find(s.tables.flow_state, id_)
        if found is None or found.root not in outermost:
            continue
        row = await s.delete(s.tables.flow_state, id_)
        if row is not None:
            await s.insert(s.tables.job_completed, _canceled(row, error, s.now))
            ended.append(id_)
    jobs = [s.find(s.tables.job, id_) for id_ in sorted(ended)]
    return [(job.id, job.awaited) for job in jobs if job is not None]


async def _end_unstarted(
    s: Statement,
    table: Table[Any],
    ids: Sequence[UUID],
    error: str,
) -> list[UUID]:
    """Move the jobs that stand in a table to job_completed."""
    locked = [id_ for id_ in sorted(set(ids)) if await s.lock(table, id_) is not None]
    for id_ in s.shuffled(locked):
        row: ReadyRow | WaitingRow | None = await s.delete(table, id_)
        assert row is not None, "it is locked"
        await s.insert(s.tables.job_completed, _canceled(row, error, s.now))
    return locked


def _canceled(row: ReadyRow | WaitingRow | FlowStateRow, error: str, now: datetime) -> CompletedRow:
    return CompletedRow(
        id=row.id,
        status="canceled",
        result=None,
        error=error,
        worker=None,
        attempt=row.attempt,
        reaped=row.reaped,
        started_at=None,
        completed_at=now,
        duration_ms=None,
    )


@models("request_cancel")
async def request_cancel(s: Statement, ids: Sequence[UUID], reason: str) -> Rows:
    """Asks the workers that hold the jobs to cancel them."""
    asked = []
    for id_ in sorted(set(ids)):
        if s.find(s.tables.job, id_) is None or s.find(s.tables.job_completed, id_) is not None:
            continue
        holders = [claim.worker for claim in s.rows(s.tables.claim) if id_ in claim.ids]
        holder = s.any(holders)
        row = CancelRow(id=id_, reason=reason, requested_at=s.now)
        await s.insert(s.tables.cancel_request, row, do_nothing=True)
        if holder is not None:
            s.notify("trioworker_cancel", str(holder))
        asked.append((id_, None))
    return asked
