"""Schedules in the database: which ticks become jobs, inside the transactions that say so.

Rule of this file: the rows of schedules are locked before anything is decided about them, in name
order and in one statement, or passed over when somebody else has them; what is decided is stored
with the jobs that it makes. Whoever holds a schedule waits for no job: what it cannot take back at
once has begun. The keys of what is next are locked after the schedules and before the rows of jobs
that end, for whoever holds a key waits for the job that another one replaces.
"""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

import msgspec

from trioworker.errors import UsageError
from trioworker.ids import derived_id
from trioworker.model.job import NewJob
from trioworker.model.schedule import (
    End,
    Move,
    Progress,
    Schedule,
    after_end,
    begin,
    taken_back,
    unstarted,
    when_due,
)
from trioworker.store.postgres.database import Row, Transaction
from trioworker.store.postgres.enqueue import enqueue
from trioworker.store.postgres.unique import lock_keys

DUE_PER_SWEEP_MAX: Final = 500

_decode = msgspec.json.Decoder(Schedule).decode


class Found(NamedTuple):
    """A schedule as it is stored. Without `schedule` its definition cannot be used: `problem`."""

    name: str
    schedule: Schedule | None
    progress: Progress
    pending: UUID | None
    problem: str | None
    now: datetime


class Decided(NamedTuple):
    """What is stored about a schedule; `definition` None leaves that as it is."""

    found: Found
    move: Move
    definition: Schedule | None = None


class Touched(NamedTuple):
    """Jobs that a change has made, and the ids of those that it has undone."""

    jobs: Sequence[NewJob] = ()
    undone: AbstractSet[UUID] = frozenset()


class Declared(NamedTuple):
    """What a declaration has changed: the names of new and of changed schedules, and jobs."""

    new: Sequence[str]
    changed: Sequence[str]
    touched: Touched


class Advanced(NamedTuple):
    """Jobs of the next ticks, and how often each schedule had failed in a row before."""

    jobs: Sequence[NewJob]
    failures: Mapping[str, int]


def tick_id(name: str, tick: datetime) -> UUID:
    """The id of the job of a tick: the same whoever makes it, so that there is only one."""
    return derived_id(tick, "tick", name)


async def advance_schedules(tx: Transaction, ends: Mapping[str, Sequence[End]]) -> Advanced:
    """Note how jobs of schedules have ended, by name; the jobs of what is next, not stored yet."""
    if not ends:
        return Advanced((), {})
    decided, failures = [], dict[str, int]()
    for found in await lock(tx, ends):
        failures[found.name] = found.progress.failures
        progress, ticks = found.progress, list[datetime]()
        for end in ends[found.name]:
            move = _after_end(found, progress, end)
            progress = move.progress
            ticks += move.ticks
        decided.append(Decided(found, Move(progress, ticks)))
    return Advanced(await _note(tx, decided), failures)


async def sweep_schedules(tx: Transaction) -> tuple[int, Sequence[NewJob]]:
    """Make jobs of ticks of schedules that wait for no job; how many were looked at, the jobs."""
    due = [_found(row) for row in await tx.run("due_schedules", DUE_PER_SWEEP_MAX)]
    pending = [found.pending for found in due if found.pending is not None]
    waits: AbstractSet[UUID] = frozenset()
    if pending:
        waits = {row[0] for row in await tx.run("unfinished_jobs", pending)}
    decided = [Decided(found, _when_due(found)) for found in due if found.pending not in waits]
    return len(due), await store(tx, decided)


async def declare(tx: Transaction, said: Mapping[str, Schedule]) -> Declared:
    """Make the schedules be as said, by name.

    One that is stored as said already is left alone. Of one that changes, the ticks to come are
    replaced; what is due is a job like any other by now.
    """
    definitions = [_text(said[name]) for name in sorted(said)]
    added = {row[0] for row in await tx.run("add_schedules", sorted(said), definitions)}
    stored = await lock(tx, said)
    await lock_keys(tx, [schedule.any_job() for schedule in said.values()])
    changed = [f for f in stored if f.name not in added and f.schedule != said[f.name]]
    undone = await _take_back(tx, changed, only_future=True)
    fresh = [found for found in stored if found.name in added]
    decided = [Decided(f, begin(said[f.name], f.progress, f.now)) for f in fresh]
    decided += [_redeclared(found, said[found.name], undone) for found in changed]
    jobs = await store(tx, decided)
    return Declared(sorted(added), [found.name for found in changed], Touched(jobs, undone))


async def pause(tx: Transaction, found: Found) -> Touched:
    """Let no tick become a job any more, and undo those that have become one and not begun."""
    undone = await _take_back(tx, [found], only_future=False)
    progress = _without(found, undone)
    await store(
        tx, [Decided(found, Move(msgspec.structs.replace(progress, paused=True, look_at=None)))]
    )
    return Touched(undone=undone)


async def resume(tx: Transaction, found: Found) -> Touched:
    """Go on with the first tick from now, or with the end of the job that still runs."""
    if not found.progress.paused:
        return Touched()
    progress = msgspec.structs.replace(found.progress, paused=False)
    waits = found.pending is not None and await tx.run("unfinished_jobs", [found.pending])
    if waits or found.schedule is None:
        move = Move(msgspec.structs.replace(progress, look_at=progress.last_tick or found.now))
    else:
        move = begin(found.schedule, progress, found.now)
    return Touched(await store(tx, [Decided(found, move)]))


async def run(tx: Transaction, found: Found, id_: UUID) -> Touched:
    """Enqueue the job of the schedule for no tick. Raises `UsageError` when it says of none."""
    if found.schedule is None:
        raise UsageError(f"the schedule {found.name!r} cannot be run: {found.problem}")
    job = found.schedule.job(id_, None, found.now)
    await enqueue(tx, [job])
    await tx.run("notify_ready", [job.tag])
    return Touched([job])


async def delete(tx: Transaction, found: Found) -> Touched:
    """Forget the schedule and undo its jobs that have not begun. One that runs ends in peace."""
    undone = await _take_back(tx, [found], only_future=False)
    await tx.run("delete_schedules", [found.name])
    return Touched(undone=undone)


async def lock(tx: Transaction, names: Iterable[str]) -> Sequence[Found]:
    """Those of the schedules that exist, in name order, in nobody else's hands."""
    return [_found(row) for row in await tx.run("lock_schedules", sorted(names))]


async def lock_next_ticks(tx: Transaction, names: AbstractSet[str]) -> None:
    """Lock what the end of a job of these schedules will want, before that job's own row."""
    if names:
        found = await lock(tx, names)
        schedules = [one.schedule for one in found if one.schedule is not None]
        await lock_keys(tx, [schedule.any_job() for schedule in schedules])


async def look(tx: Transaction, names: Sequence[str] | None, limit: int) -> Sequence[Found]:
    """Up to `limit` schedules in name order, only those named unless None, without a lock."""
    return [_found(row) for row in await tx.run("list_schedules", names, limit)]


async def store(tx: Transaction, decided: Sequence[Decided]) -> Sequence[NewJob]:
    """Store what has been decided, and the jobs of the ticks; returns these jobs."""
    jobs = await _note(tx, decided)
    new = await enqueue(tx, jobs)
    return [job for job in jobs if job.id in new]


async def _note(tx: Transaction, decided: Sequence[Decided]) -> Sequence[NewJob]:
    """Store what has been decided; returns the jobs of the ticks, which are not stored."""
    if not decided:
        return ()
    await tx.run("store_schedules", *zip(*map(_columns, decided), strict=True))
    return [job for one in decided for job in _jobs(one)]


def _columns(decided: Decided) -> tuple[object, ...]:
    """In the order of the statement `store_schedules`."""
    found, (progress, _), definition = decided
    pending = None
    if progress.pending and progress.last_tick is not None:
        pending = tick_id(found.name, progress.last_tick)
    return (
        found.name,
        None if definition is None else _text(definition),
        progress.paused,
        progress.last_tick,
        pending,
        progress.decided_until,
        progress.look_at,
        progress.failures,
        None if definition is not None else found.problem,
    )


def _jobs(decided: Decided) -> Iterable[NewJob]:
    found, move, definition = decided
    schedule = definition or found.schedule
    if schedule is not None:
        for tick in move.ticks:
            yield schedule.job(tick_id(found.name, tick), tick, found.now)


def _after_end(found: Found, progress: Progress, end: End) -> Move:
    if found.schedule is None:
        return Move(msgspec.structs.replace(progress, look_at=None))
    return after_end(found.schedule, progress, end, found.now)


def _when_due(found: Found) -> Move:
    if found.schedule is None:
        return Move(msgspec.structs.replace(found.progress, look_at=None))
    return when_due(found.schedule, found.progress, found.now)


def _redeclared(found: Found, said: Schedule, undone: AbstractSet[UUID]) -> Decided:
    """It begins anew, unless a job of it runs that the next tick has to wait for."""
    progress = _without(found, undone)
    if progress.pending and said.overlap != "allow":
        return Decided(found, Move(progress), said)
    return Decided(found, begin(said, progress, found.now), said)


def _without(found: Found, undone: AbstractSet[UUID]) -> Progress:
    """The progress once its jobs are undone; one that waits for a job that is not, goes on to."""
    if found.progress.pending and found.pending not in undone:
        return found.progress
    return taken_back(found.progress)


async def _take_back(
    tx: Transaction, schedules: Sequence[Found], *, only_future: bool
) -> AbstractSet[UUID]:
    """Undo the jobs of ticks that have not begun; the ids of those that are undone."""
    ticks = {
        tick_id(found.name, tick): tick
        for found in schedules
        if found.schedule is not None
        for tick in unstarted(found.schedule, found.progress, found.now)
        if tick > found.now or not only_future
    }
    if not ticks:
        return frozenset()
    rows = await tx.run("take_back_jobs", sorted(ticks), list(ticks.values()))
    return {row[0] for row in rows}


def _found(row: Row) -> Found:
    name, definition, paused, last_tick, pending, decided_until, look_at, failures, problem, now = (
        row
    )
    schedule = None
    try:
        schedule = _decode(definition)
    except (msgspec.ValidationError, UsageError) as error:
        problem = f"the stored definition cannot be used: {error}"
    progress = Progress(
        decided_until=decided_until,
        paused=paused,
        last_tick=last_tick,
        pending=pending is not None,
        look_at=look_at,
        failures=failures,
    )
    return Found(name, schedule, progress, pending, problem, now)


def _text(schedule: Schedule) -> str:
    return msgspec.json.encode(schedule).decode()
