"""Concurrency limits: who holds a slot, who waits for one, and when to look again."""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache, partial
from typing import Any
from uuid import UUID

import msgspec

from sim.database.models import Rows, Statement, models
from sim.database.rows import ConcurrencyRow, JobRow, ReadyRow, SlotRow, SpentRow, WaitingRow
from sim.database.values import later

Limit = tuple[int | None, float | None]


def limit_of(job: JobRow) -> tuple[str, Limit] | None:
    """The key and the limit that a job's options ask for, as the statements read them."""
    said = _asked_for(job.options)
    return None if said is None else (said[0] or job.path, said[1])


@lru_cache(maxsize=1_000)
def _asked_for(options: str | None) -> tuple[str | None, Limit] | None:
    limit = (json.loads(options) if options else {}).get("limit")
    if not isinstance(limit, dict):
        return None
    return limit.get("key"), (limit.get("slots"), limit.get("window_s"))


@models("lock_limits")
async def lock_limits(
    s: Statement,
    ids: Sequence[UUID],
    keys: Sequence[str],
    slots: Sequence[int | None],
    windows_s: Sequence[float | None],
    said_at: Sequence[datetime | None],
) -> Rows:
    """Locks keys, in their order, and notes what is said of their limits."""
    concerned: dict[str, ConcurrencyRow] = {}
    for key, number, window_s, moment in zip(keys, slots, windows_s, said_at, strict=True):
        if number is None:
            continue
        row = ConcurrencyRow(key=key, slots=number, window_s=window_s, said_at=moment or s.now)
        if key not in concerned or concerned[key].said_at <= row.said_at:
            concerned[key] = row
    wanted = {*keys, *(slot.key for slot in s.rows(s.tables.slot) if slot.id in ids)}
    for known in list(s.rows(s.tables.concurrency)):
        if known.key in wanted and known.key not in concerned:
            concerned[known.key] = msgspec.structs.replace(known, look_at=None)
    for key in sorted(concerned):
        said = concerned[key]
        await s.insert(s.tables.concurrency, said, on_conflict=partial(_said, said))
    return [(key,) for key in sorted(concerned)]


def _said(said: ConcurrencyRow, held: ConcurrencyRow) -> ConcurrencyRow | None:
    if said.said_at <= held.said_at:
        return None
    return msgspec.structs.replace(said, look_at=held.look_at)


@models("release_slots")
async def release_slots(s: Statement, ids: Sequence[UUID], ran: Sequence[bool]) -> Rows:
    """Frees slots, after their window where the jobs ran; those that run again wait in line."""
    freed: dict[UUID, str] = {}
    for id_ in s.shuffled(sorted(set(ids))):
        slot = await s.delete(s.tables.slot, id_)
        if slot is not None:
            freed[id_] = slot.key
    for id_, key in s.shuffled(list(freed.items())):
        row = await s.delete(s.tables.ready, id_)
        if row is not None:
            await s.insert(s.tables.waiting, _in_line(row, key, s.now))
    spent: dict[str, int] = {}
    for id_, has_run in zip(ids, ran, strict=True):
        if has_run and id_ in freed:
            spent[freed[id_]] = spent.get(freed[id_], 0) + 1
    for key, slots in s.shuffled(list(spent.items())):
        known = s.find(s.tables.concurrency, key)
        if known is not None and known.window_s is not None:
            row_ = SpentRow(key=key, free_at=later(s.now, known.window_s), slots=slots)
            await s.insert(s.tables.spent_slot, row_, on_conflict=partial(_more, slots))
    return []


def _more(slots: int, held: SpentRow) -> SpentRow:
    return msgspec.structs.replace(held, slots=held.slots + slots)


def _in_line(row: ReadyRow, key: str, now: datetime) -> WaitingRow:
    return WaitingRow(
        id=row.id,
        reason="limit",
        until=None,
        attempt=row.attempt,
        reaped=row.reaped,
        since=now,
        key=key,
        priority=row.priority,
        scheduled_for=row.scheduled_for,
    )


@models("promote")
async def promote(s: Statement, keys: Sequence[str]) -> Rows:
    """Makes ready the next due jobs that wait for a slot, as many as are free."""
    chosen: list[WaitingRow] = []
    for key in keys:
        known = s.find(s.tables.concurrency, key)
        if known is not None:
            chosen += await _next(s, key, known.slots - taken(s, key) - spent_slots(s, key))
    moved = [row for c in s.shuffled(chosen) if (row := await s.delete(s.tables.waiting, c.id))]
    promoted = []
    for row in moved:
        job = s.find(s.tables.job, row.id)
        if job is not None:
            await s.insert(s.tables.ready, _ready(row, job))
            promoted.append((row.id,))
    for row in moved:
        assert row.key is not None
        await s.insert(s.tables.slot, SlotRow(id=row.id, key=row.key), do_nothing=True)
    return s.shuffled(promoted)


@models("place_in_line")
async def place_in_line(s: Statement, job: UUID) -> Rows:
    """For which slot a job waits, and who is before it."""
    mine = s.find(s.tables.waiting, job)
    if mine is None or mine.key is None or mine.scheduled_for is None:
        return []
    by = max(mine.scheduled_for, s.now)
    before = [
        row
        for row in s.rows(s.tables.waiting)
        if row.key == mine.key
        and row.scheduled_for is not None
        and row.scheduled_for <= by
        and _place(row) < _place(mine)
    ]
    known, spent = s.find(s.tables.concurrency, mine.key), _spent(s, mine.key)
    opens_at = min((row.free_at for row in spent), default=None)
    slots = None if known is None else known.slots
    counts = taken(s, mine.key), spent_slots(s, mine.key)
    return [(mine.key, mine.scheduled_for, len(before) + 1, slots, *counts, opens_at)]


def taken(s: Statement, key: str) -> int:
    """How many jobs hold a slot of the key."""
    return sum(slot.key == key for slot in s.rows(s.tables.slot))


def spent_slots(s: Statement, key: str) -> int:
    """How many slots of the key stay taken although their jobs have left them."""
    return sum(row.slots for row in _spent(s, key))


def _spent(s: Statement, key: str) -> list[SpentRow]:
    return [r for r in s.rows(s.tables.spent_slot) if r.key == key and r.free_at > s.now]


async def _next(s: Statement, key: str, free: int) -> list[WaitingRow]:
    """The first due jobs in line, locked; what others hold is passed over."""

    def due(row: WaitingRow) -> bool:
        return row.key == key and row.scheduled_for is not None and row.scheduled_for <= s.now

    found: list[WaitingRow] = []
    for row in sorted(filter(due, s.rows(s.tables.waiting)), key=_place):
        if len(found) >= free:
            break
        locked = await s.lock(s.tables.waiting, row.id, still=due, skip_locked=True)
        if locked is not None:
            found.append(locked)
    return found


def _place(row: WaitingRow) -> tuple[int, datetime, UUID]:
    assert row.priority is not None
    assert row.scheduled_for is not None
    return -row.priority, row.scheduled_for, row.id


def _ready(row: WaitingRow, job: JobRow) -> ReadyRow:
    assert row.priority is not None
    assert row.scheduled_for is not None
    return ReadyRow(
        id=row.id,
        tag=job.tag,
        priority=row.priority,
        scheduled_for=row.scheduled_for,
        attempt=row.attempt,
        reaped=row.reaped,
    )


@models("plan_looks")
async def plan_looks(s: Statement, keys: Sequence[str]) -> Rows:
    """Notes when keys need a look again, and forgets those that nothing has to do with."""
    planned = {
        key: _look_at(s, known) for key in keys if (known := s.find(s.tables.concurrency, key))
    }
    over = [key for key in planned if _is_over(s, key)]
    passed = [
        (r.key, r.free_at)
        for r in s.rows(s.tables.spent_slot)
        if r.key in keys and r.free_at <= s.now
    ]
    for key in s.shuffled([key for key in planned if key not in over]):
        look_at = planned[key]
        known = s.find(s.tables.concurrency, key)
        if known is None or known.look_at == look_at:
            continue
        await s.update(
            s.tables.concurrency,
            key,
            partial(_planned, look_at),
            still=partial(_differs, look_at),
        )
    # The parts that nothing reads are carried out from the last to the first.
    for key in s.shuffled(over):
        await s.delete(s.tables.concurrency, key)
    for place in s.shuffled(passed):
        await s.delete(s.tables.spent_slot, place)
    return []


def _planned(look_at: datetime | None, row: ConcurrencyRow) -> ConcurrencyRow:
    return msgspec.structs.replace(row, look_at=look_at)


def _differs(look_at: datetime | None, row: ConcurrencyRow) -> bool:
    return row.look_at != look_at


def _look_at(s: Statement, known: ConcurrencyRow) -> datetime | None:
    key = known.key
    spent = [row.free_at for row in _spent(s, key)]
    waiting = [row.scheduled_for for row in s.rows(s.tables.waiting) if row.key == key]
    if not waiting:
        return max(spent, default=None)
    if known.slots - taken(s, key) - spent_slots(s, key) <= 0:
        return min(spent, default=None)
    return min(due for due in waiting if due is not None)


def _is_over(s: Statement, key: str) -> bool:
    waited_for = any(row.key == key for row in s.rows(s.tables.waiting))
    return not (waited_for or taken(s, key) or _spent(s, key))


@models("due_limits")
async def due_limits(s: Statement, limit: int) -> Rows:
    """Keys that need a look, and jobs of transactions that locked no key."""
    fresh: list[WaitingRow] = []
    waiting = [row for row in s.rows(s.tables.waiting) if row.fresh]
    for row in sorted(waiting, key=lambda row: row.id):
        if len(fresh) == limit:
            break
        locked = await s.lock(s.tables.waiting, row.id, still=lambda r: r.fresh, skip_locked=True)
        if locked is not None:
            fresh.append(locked)
    for row in fresh:
        await s.update(
            s.tables.waiting, row.id, lambda old: msgspec.structs.replace(old, fresh=False)
        )
    found: list[tuple[Any, ...]] = []
    for row in fresh:
        job = s.find(s.tables.job, row.id)
        if job is not None:
            _, limits = limit_of(job) or ("", (None, None))
            found.append((row.key, *limits, job.created_at))
    due = [row for row in s.rows(s.tables.concurrency) if row.look_at and row.look_at <= s.now]
    due.sort(key=lambda row: row.look_at or s.now)
    return s.shuffled([*found, *((row.key, None, None, None) for row in due[:limit])])


@models("next_look")
async def next_look(s: Statement) -> Rows:
    """Seconds until a key needs a look."""
    if any(row.fresh for row in s.rows(s.tables.waiting)):
        return [(0.0,)]
    looks = [row.look_at for row in s.rows(s.tables.concurrency) if row.look_at is not None]
    return [((min(looks) - s.clock()) / timedelta(seconds=1) if looks else None,)]


@models("take_slots")
async def take_slots(s: Statement, ids: Sequence[UUID], keys: Sequence[str]) -> Rows:
    """Gives jobs the slots that they should have had."""
    for id_, key in zip(ids, keys, strict=True):
        await s.insert(s.tables.slot, SlotRow(id=id_, key=key), do_nothing=True)
    return []


@models("limit_drift")
async def limit_drift(s: Statement, limit: int) -> Rows:
    """What is wrong with slots, recounted."""
    held = [row.id for row in s.rows(s.tables.ready)]
    held += [id_ for claim in s.rows(s.tables.claim) for id_ in claim.ids]
    held += [row.id for row in s.rows(s.tables.flow_state)]
    slots = {slot.id: slot.key for slot in s.rows(s.tables.slot)}
    wrong = [
        ("a slot that no job holds", key, id_) for id_, key in slots.items() if id_ not in held
    ]
    for id_ in held:
        job = s.find(s.tables.job, id_)
        if job is not None and id_ not in slots and (limit_ := limit_of(job)) is not None:
            wrong.append(("a job that may run without a slot", limit_[0], id_))
    in_line = [row for row in s.rows(s.tables.waiting) if row.key is not None and not row.fresh]
    for id_, key in [*((row.id, row.key or "") for row in in_line), *slots.items()]:
        if s.find(s.tables.concurrency, key) is None:
            wrong.append(("a key whose limit is not known", key, id_))
    wrong += [
        ("a job that waits although a slot is free", known.key, first.id)
        for known in s.rows(s.tables.concurrency)
        if (first := _held_back(s, known, in_line)) is not None
    ]
    wrong.sort()
    return [(*each, *_own_limit(s, each[2])) for each in wrong[:limit]]


def _held_back(
    s: Statement, known: ConcurrencyRow, in_line: Sequence[WaitingRow]
) -> WaitingRow | None:
    """The first job in line of a key that has a slot free and needs no look."""
    due = [
        row
        for row in in_line
        if row.key == known.key and row.scheduled_for is not None and row.scheduled_for <= s.now
    ]
    free = known.slots - taken(s, known.key) - spent_slots(s, known.key)
    looked_at_soon = known.look_at is not None and known.look_at <= s.now
    return min(due, key=_place) if due and free > 0 and not looked_at_soon else None


def _own_limit(s: Statement, id_: UUID) -> Limit:
    job = s.find(s.tables.job, id_)
    found = None if job is None else limit_of(job)
    return (None, None) if found is None else found[1]


@models("mend_looks")
async def mend_looks(s: Statement, limit: int) -> Rows:
    """Has keys looked at that nobody would look at."""

    def asleep(row: ConcurrencyRow) -> bool:
        return row.look_at is None or row.look_at > s.now

    mended: list[ConcurrencyRow] = []
    for known in sorted(s.rows(s.tables.concurrency), key=lambda row: row.key):
        if len(mended) == limit:
            break
        if asleep(known) and _is_overlooked(s, known):
            locked = await s.lock(
                s.tables.concurrency,
                known.key,
                still=lambda row: asleep(row) and _is_overlooked(s, row),
                skip_locked=True,
            )
            if locked is not None:
                mended.append(locked)
    for row in s.shuffled(mended):
        await s.update(s.tables.concurrency, row.key, partial(_planned, s.now))
    return []


def _is_overlooked(s: Statement, known: ConcurrencyRow) -> bool:
    waiting = [row.scheduled_for for row in s.rows(s.tables.waiting) if row.key == known.key]
    if any(due is not None and due <= s.now for due in waiting):
        return known.slots > taken(s, known.key) + spent_slots(s, known.key)
    spent = any(row.key == known.key for row in s.rows(s.tables.spent_slot))
    return not (waiting or taken(s, known.key) or spent)
