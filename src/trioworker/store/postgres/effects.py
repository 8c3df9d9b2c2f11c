"""What else a commit stores: one statement for each sort of effect that a batch has.

Rule of this file: the order is fixed, so that two commits never wait for each other crosswise.
First come sorts that only write rows of the batch's own jobs; those that lock rows which other
jobs share come after, each in the order of its keys.
"""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from functools import partial
from typing import Final, NamedTuple
from uuid import UUID

import msgspec

from trioworker.ids import derived_id
from trioworker.model.effects import Effects, effects_of
from trioworker.model.follow_ups import Ended, Origin, follow_ups, restarts
from trioworker.model.job import UNCLAIMED, Job, NewJob
from trioworker.model.options import options_of
from trioworker.model.outcome import Executed, Outcome
from trioworker.store.postgres.database import Row, Transaction
from trioworker.store.postgres.enqueue import enqueue
from trioworker.store.postgres.flows import Moved, move_flows
from trioworker.store.postgres.handing import hand_over, own_jobs
from trioworker.store.postgres.limits import limits_said, settle_limits
from trioworker.store.postgres.own_rows import store_own_rows
from trioworker.store.postgres.schedules import advance_schedules
from trioworker.store.postgres.telling import tell_waiters
from trioworker.store.postgres.users import run_user_statements

_UNKNOWN: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Followed(NamedTuple):
    """What else has come of a batch: the flows that have `ended`, and see `Stored`."""

    ended: Sequence[Executed] = ()
    handed: Sequence[Job] = ()
    own: bool = False
    let_go: Sequence[UUID] = ()


NOTHING_FOLLOWED: Final = Followed()


async def store_effects_of(
    tx: Transaction, worker: UUID, batch: Sequence[Executed], *, now_s: float, room: int
) -> Followed:
    """Store what follows from the outcomes of `batch`, in the transaction that has stored them.

    What follows from the ends of flows that have ended with it is stored, too. At most `room` jobs
    are handed over. `now_s` is the worker's monotonic clock.
    """
    moved = await move_flows(tx, worker, batch, now_s=now_s)
    effects = effects_of([*batch, *moved.ended], now_s=now_s)
    new = await _store_effects(tx, worker, effects, moved.jobs)
    own = [job.id for job in own_jobs(worker, moved.jobs) if job.id in new]
    handed = await hand_over(tx, worker, own, room=room, now_s=now_s)
    # Last, because nobody here knows what they lock, or how long that takes.
    await run_user_statements(tx, effects.handed_over)
    return Followed(moved.ended, handed, len(handed) < len(own), moved.let_go)


async def _store_effects(
    tx: Transaction, worker: UUID | None, effects: Effects, steps: Sequence[NewJob]
) -> AbstractSet[UUID]:
    """The ids of the jobs that it has made."""
    if effects.attempts is not None:
        await tx.run("store_attempts", worker, *effects.attempts)
    await store_own_rows(tx, effects)
    if effects.progress is not None:
        await tx.run("store_progress", *effects.progress)
    if effects.results is not None:
        await tx.run("store_results", *effects.results)
    if effects.locks is not None:
        await tx.run("store_locks", *effects.locks)
    ticks, failures = await advance_schedules(tx, effects.schedules)
    # Together, because they may lock the same keys.
    jobs = [*ticks, *await _follow_ups(tx, effects.ended, failures), *steps]
    new = await enqueue(tx, jobs)
    # So late, because it locks what others want, too: keys that a job made here may be limited by.
    made = limits_said(job for job in jobs if job.id in new)
    await settle_limits(tx, made, left=effects.left_slots)
    return new


async def store_ends(
    tx: Transaction, outcomes: Mapping[UUID, Outcome], *, left: Mapping[UUID, bool]
) -> None:
    """Store what follows from the ends of jobs that no worker stores: given up, or cancelled.

    `left` says of each job with a slot whether it has run. Who waits for flows that end with it is
    told.
    """
    if not outcomes:
        return
    rows = await tx.run("hooked_jobs", list(outcomes))
    ends = [Executed(unclaimed(row), outcomes[row[0]], 0.0, 0.0) for row in rows]
    await store_moved(tx, ends, await move_flows(tx, None, ends, now_s=0.0), left=left)


async def store_moved(
    tx: Transaction, ends: Sequence[Executed], moved: Moved, *, left: Mapping[UUID, bool]
) -> None:
    """Store what follows from `ends` that no worker stores, and from how flows have moved."""
    effects = effects_of([*ends, *moved.ended], now_s=0.0)
    slots = {**effects.left_slots, **left}
    await _store_effects(tx, None, msgspec.structs.replace(effects, left_slots=slots), moved.jobs)
    await notify_done(tx, moved.ended)


async def notify_done(tx: Transaction, ended: Iterable[Executed]) -> None:
    """Tell those who wait for the jobs that they have ended."""
    await tell_waiters(tx, [(executed.job.id, executed.job.awaited) for executed in ended])


async def _follow_ups(
    tx: Transaction, ends: Sequence[Ended], failures: Mapping[str, int]
) -> Sequence[NewJob]:
    if not ends:
        return ()
    origins: Mapping[UUID, Origin] = {}
    if again := restarts(ends):
        rows = await tx.run("job_origins", again)
        origins = {row[0]: Origin(*row[1:]) for row in rows}
    now: datetime = (await tx.run("clock"))[0][0]
    id_of = partial(derived_id, now)
    return follow_ups(ends, now=now, failures=failures, origins=origins, id_of=id_of)


def unclaimed(row: Row) -> Job:
    """A job that no worker holds, as far as what follows from its end depends on it."""
    id_, kind, path, args, tag, priority, options, awaited, attempt, reaped = row
    return Job(
        id_, UNCLAIMED, attempt, reaped, kind, path, args, tag, priority, _UNKNOWN, awaited,
        *options_of(options),
    )  # fmt: skip
