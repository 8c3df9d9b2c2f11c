"""What clients ask: enqueue, cancel, where jobs stand."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec

from sim.database.models import Rows, Statement, models
from sim.database.rows import CancelRow, CompletedRow, JobRow, ReadyRow, WaitingRow


@models("enqueue")
async def enqueue(s: Statement, *columns: Sequence[Any]) -> Rows:
    """Makes jobs ready; returns the ids that are new."""
    new = []
    for id_, kind, path, args, tag, priority, due, options, awaited, by in zip(
        *columns, strict=True
    ):
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
        )
        if await s.insert(s.tables.job, row, do_nothing=True):
            new.append((row, due))
    for job, due in new:
        ready = ReadyRow(id=job.id, tag=job.tag, priority=job.priority, scheduled_for=due or s.now)
        await s.insert(s.tables.ready, ready)
    return s.shuffled([(job.id,) for job, _ in new])


@models("notify_ready")
async def notify_ready(s: Statement, tags: Sequence[str]) -> Rows:
    """Hints to idle workers."""
    for tag in tags:
        s.notify("trioworker_ready", tag)
    return [("",)] * len(tags)


@models("cancel_unstarted")
async def cancel_unstarted(s: Statement, ids: Sequence[UUID], reason: str) -> Rows:
    """Ends the jobs that no worker holds."""
    unstarted: list[ReadyRow | WaitingRow] = []
    # The locks of both tables come first, then the deletions: as the parts of the statement do.
    for id_ in sorted(set(ids)):
        await s.lock(s.tables.ready, id_)
    for id_ in sorted(set(ids)):
        await s.lock(s.tables.waiting, id_)
    for id_ in sorted(set(ids)):
        gone = (await s.delete(s.tables.ready, id_), await s.delete(s.tables.waiting, id_))
        unstarted += (row for row in gone if row is not None)
    error = msgspec.json.encode({"name": "Cancelled", "message": reason}).decode()
    for row in unstarted:
        completed = CompletedRow(
            id=row.id,
            status="canceled",
            result=None,
            error=error,
            worker=None,
            attempt=row.attempt,
            reaped=row.reaped,
            started_at=None,
            completed_at=s.now,
            duration_ms=None,
        )
        await s.insert(s.tables.job_completed, completed)
    jobs = [s.find(s.tables.job, id_) for id_ in sorted(row.id for row in unstarted)]
    return [(job.id, job.awaited) for job in jobs if job is not None]


@models("request_cancel")
async def request_cancel(s: Statement, ids: Sequence[UUID], reason: str) -> Rows:
    """Asks the workers that hold the jobs to cancel them."""
    asked = []
    for id_ in sorted(set(ids)):
        if s.find(s.tables.job, id_) is None or s.find(s.tables.job_completed, id_) is not None:
            continue
        holder = next((c.worker for c in s.rows(s.tables.claim) if id_ in c.ids), None)
        row = CancelRow(id=id_, reason=reason, requested_at=s.now)
        await s.insert(s.tables.cancel_request, row, do_nothing=True)
        if holder is not None:
            s.notify("trioworker_cancel", str(holder))
        asked.append((id_, None if holder is None else ""))
    return asked
