"""Keys of unique and debounced jobs: who took one last, and whether that still counts."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

import msgspec

from sim.database.models import Rows, Statement, models
from sim.database.rows import CompletedRow, ReadyRow, UniqueKeyRow, WaitingRow
from sim.database.table import Table
from sim.database.values import later

Key = tuple[str, str]


@models("lock_keys")
async def lock_keys(s: Statement, sorts: Sequence[str], keys: Sequence[str]) -> Rows:
    """Locks keys, in their order."""
    for sort, key in sorted(set(zip(sorts, keys, strict=True))):
        row = UniqueKeyRow(sort=sort, key=key, look_at=s.now)
        await s.insert(s.tables.unique_key, row, on_conflict=lambda _: None)
    return []


@models("key_holders")
async def key_holders(
    s: Statement, ids: Sequence[UUID], sorts: Sequence[str], keys: Sequence[str]
) -> Rows:
    """Who took the keys of jobs, and where that one is."""
    found: list[tuple[Any, ...]] = []
    for id_, key in zip(ids, zip(sorts, keys, strict=True), strict=True):
        held = s.find(s.tables.unique_key, key)
        if held is not None:
            known = s.find(s.tables.job, id_) is not None
            of_holder = (held.job, held.during, held.until, held.first_at)
            found.append((known, *of_holder, _standing(s, held.job), s.now))
    return found


def _standing(s: Statement, id_: UUID | None) -> str:
    if s.find(s.tables.ready, id_) or s.find(s.tables.waiting, id_):
        return "queued"
    if s.find(s.tables.job, id_) and s.find(s.tables.job_completed, id_) is None:
        return "begun"
    return "ended"


@models("replace_jobs")
async def replace_jobs(s: Statement, ids: Sequence[UUID], by: Sequence[UUID]) -> Rows:
    """Ends jobs that no worker holds, because others take their places."""
    news: dict[UUID, UUID] = {}
    for old, new in zip(ids, by, strict=True):
        news.setdefault(old, new)
    taken = await _end_unstarted(s, s.tables.ready, news)
    # The rows in waiting are locked only when all of ready have been dealt with.
    ended = taken + await _end_unstarted(s, s.tables.waiting, news)
    freed = [slot.key for id_ in taken if (slot := await s.delete(s.tables.slot, id_))]
    following = [row for key in freed if (row := await _following(s, key, ids))]
    for row in following:
        await s.update(s.tables.waiting, row.id, _as_fresh)
    jobs = [s.find(s.tables.job, id_) for id_ in sorted(ended)]
    return [(job.id, job.awaited, job.options) for job in jobs if job is not None]


async def _end_unstarted(s: Statement, table: Table[Any], news: dict[UUID, UUID]) -> list[UUID]:
    """Move the jobs that stand in a table to job_completed."""
    locked = [id_ for id_ in sorted(news) if await s.lock(table, id_) is not None]
    for id_ in s.shuffled(locked):
        row: ReadyRow | WaitingRow | None = await s.delete(table, id_)
        assert row is not None, "it is locked"
        error = {"name": "Replaced", "message": f"replaced by job {news[id_]}"}
        completed = CompletedRow(
            id=row.id,
            status="canceled",
            result=None,
            error=msgspec.json.encode(error).decode(),
            worker=None,
            attempt=row.attempt,
            reaped=row.reaped,
            started_at=None,
            completed_at=s.now,
            duration_ms=None,
        )
        await s.insert(s.tables.job_completed, completed)
    return locked


async def _following(s: Statement, key: str, ids: Sequence[UUID]) -> WaitingRow | None:
    """The last in line for a slot, locked; what others hold is passed over."""

    def in_line(row: WaitingRow) -> bool:
        return row.key == key and row.id not in ids

    for row in sorted(filter(in_line, s.rows(s.tables.waiting)), key=_place, reverse=True):
        locked = await s.lock(s.tables.waiting, row.id, still=in_line, skip_locked=True)
        if locked is not None:
            return locked
    return None


def _place(row: WaitingRow) -> tuple[int, datetime, UUID]:
    assert row.priority is not None
    assert row.scheduled_for is not None
    return -row.priority, row.scheduled_for, row.id


def _as_fresh(row: WaitingRow) -> WaitingRow:
    return msgspec.structs.replace(row, fresh=True)


@models("take_keys")
async def take_keys(s: Statement, *columns: Any) -> Rows:  # noqa: ANN401 - arrays of all types
    """Notes who holds keys from now on."""
    *arrays, look_s = columns
    found = []
    for sort, key, *taken in zip(*arrays, strict=True):
        change = partial(_taken, taken, later(s.now, look_s))
        row = await s.update(s.tables.unique_key, (sort, key), change)
        found += [] if row is None else [(key,)]
    return s.shuffled(found)


def _taken(taken: Sequence[Any], look_at: datetime, row: UniqueKeyRow) -> UniqueKeyRow:
    job, during, until, first_at = taken
    return msgspec.structs.replace(
        row,
        job=job,
        during=during,
        until=until,
        first_at=first_at,
        look_at=look_at if until is None else max(until, look_at),
    )


@models("due_keys")
async def due_keys(s: Statement, limit: int) -> Rows:
    """Keys that nobody has taken for a while, locked."""

    def due(row: UniqueKeyRow) -> bool:
        return row.look_at <= s.now

    found: list[tuple[str, str]] = []
    order = sorted(filter(due, s.rows(s.tables.unique_key)), key=_look_order)
    for row in order:
        if len(found) == limit:
            break
        place = (row.sort, row.key)
        if await s.lock(s.tables.unique_key, place, still=due, skip_locked=True) is not None:
            found.append(place)
    return found


def _look_order(row: UniqueKeyRow) -> tuple[datetime, str, str]:
    return row.look_at, row.sort, row.key


@models("forget_keys")
async def forget_keys(
    s: Statement, sorts: Sequence[str], keys: Sequence[str], held: Sequence[bool], look_s: float
) -> Rows:
    """Deletes keys that nothing holds, and notes when to look at others again."""
    judged = {
        key: holds
        for key, holds in zip(zip(sorts, keys, strict=True), held, strict=True)
        if await s.lock(s.tables.unique_key, key) is not None
    }
    gone = [key for key, holds in judged.items() if not holds]
    for key in s.shuffled(gone):
        await s.delete(s.tables.unique_key, key)
    for key in s.shuffled([key for key, holds in judged.items() if holds]):
        await s.update(s.tables.unique_key, key, partial(_looked_at, later(s.now, look_s)))
    return s.shuffled([(key,) for _, key in gone])


def _looked_at(look_at: datetime, row: UniqueKeyRow) -> UniqueKeyRow:
    look_at = look_at if row.until is None else max(row.until, look_at)
    return msgspec.structs.replace(row, look_at=look_at)
