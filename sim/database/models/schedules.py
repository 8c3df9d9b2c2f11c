"""Schedules: how far they have come, and the jobs that a change of them takes back."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from sim.database.models import Rows, Statement, models
from sim.database.rows import ScheduleRow
from sim.database.table import Table


@models("add_schedules")
async def add_schedules(s: Statement, names: Sequence[str], definitions: Sequence[str]) -> Rows:
    """Makes rows for schedules; returns the names that are new."""
    new = []
    for name, definition in sorted(zip(names, definitions, strict=True)):
        row = ScheduleRow(
            name=name, definition=definition, decided_until=s.now, look_at=None, created_at=s.now
        )
        if await s.insert(s.tables.schedule, row, do_nothing=True):
            new.append((name,))
    return new


@models("lock_schedules")
async def lock_schedules(s: Statement, names: Sequence[str]) -> Rows:
    """How far schedules have come, each locked in the order of the names."""
    locked = [await s.lock(s.tables.schedule, name) for name in sorted(set(names))]
    return [_shown(s, row) for row in locked if row is not None]


@models("due_schedules")
async def due_schedules(s: Statement, limit: int) -> Rows:
    """Schedules that are due and wait for no unfinished job."""

    def due(row: ScheduleRow) -> bool:
        if row.look_at is None or row.look_at > s.now:
            return False
        return row.pending is None or not _is_unfinished(s, row.pending)

    found: list[ScheduleRow] = []
    candidates = [(row.look_at, row.name) for row in s.rows(s.tables.schedule) if due(row)]
    for _, name in sorted(candidates):
        if len(found) == limit:
            break
        locked = await s.lock(s.tables.schedule, name, still=due, skip_locked=True)
        if locked is not None:
            found.append(locked)
    return [_shown(s, row) for row in found]


@models("list_schedules")
async def list_schedules(s: Statement, names: Sequence[str] | None, limit: int) -> Rows:
    """Schedules in name order."""
    rows = [row for row in s.rows(s.tables.schedule) if names is None or row.name in names]
    return [_shown(s, row) for row in sorted(rows, key=lambda row: row.name)[:limit]]


@models("store_schedules")
async def store_schedules(
    s: Statement, names: Sequence[str], definitions: Sequence[str | None], *columns: Sequence[Any]
) -> Rows:
    """Stores how far schedules have come."""
    fields = ("paused", "last_tick", "pending", "decided_until", "look_at", "failures", "problem")
    for name, definition, *values in s.shuffled([*zip(names, definitions, *columns, strict=True)]):
        said = dict(zip(fields, values, strict=True))
        if definition is not None:
            said["definition"] = definition

        def stored(row: ScheduleRow, said: dict[str, Any] = said) -> ScheduleRow:
            return msgspec.structs.replace(row, **said)

        await s.update(s.tables.schedule, name, stored)
    return []


@models("delete_schedules")
async def delete_schedules(s: Statement, names: Sequence[str]) -> Rows:
    """Deletes schedules."""
    for name in s.shuffled(sorted(set(names))):
        await s.delete(s.tables.schedule, name)
    return []


@models("unfinished_jobs")
async def unfinished_jobs(s: Statement, ids: Sequence[UUID]) -> Rows:
    """Which jobs exist and have not ended."""
    return s.shuffled([(id_,) for id_ in set(ids) if _is_unfinished(s, id_)])


@models("hooked_jobs")
async def hooked_jobs(s: Statement, ids: Sequence[UUID]) -> Rows:
    """What was asked of the ended jobs that asked for more than to be run."""
    found: list[tuple[Any, ...]] = []
    for id_ in sorted(set(ids)):
        job, done = s.find(s.tables.job, id_), s.find(s.tables.job_completed, id_)
        if job is not None and job.options is not None and done is not None:
            asked = (job.path, job.args, job.tag, job.priority, job.options, job.awaited)
            found.append((job.id, job.kind, *asked, done.attempt, done.reaped))
    return found


@models("take_back_jobs")
async def take_back_jobs(s: Statement, ids: Sequence[UUID], due: Sequence[datetime]) -> Rows:
    """Deletes jobs that nobody has begun."""

    def unbegun(row: Any) -> bool:  # noqa: ANN401 - a row of ready or of waiting
        return row.scheduled_for in due and row.attempt == 1 and row.reaped == 0

    taken: list[UUID] = []
    # As in cancel_unstarted: those in waiting only when all of ready have been dealt with.
    tables: Sequence[Table[Any]] = (s.tables.ready, s.tables.waiting)
    for table in tables:
        locked = []
        for id_ in sorted(set(ids)):
            row = s.find(table, id_)
            if row is None or not unbegun(row):
                continue
            if await s.lock(table, id_, still=unbegun, skip_locked=True) is not None:
                locked.append(id_)
        for id_ in s.shuffled(locked):
            await s.delete(table, id_)
        taken += locked
    gone = [id_ for id_ in s.shuffled(sorted(set(taken))) if await s.delete(s.tables.job, id_)]
    return [(id_,) for id_ in gone]


def _is_unfinished(s: Statement, job: UUID) -> bool:
    known = s.find(s.tables.job, job) is not None
    return known and s.find(s.tables.job_completed, job) is None


def _shown(s: Statement, row: ScheduleRow) -> tuple[Any, ...]:
    return (*msgspec.structs.astuple(row)[:-1], s.now)
