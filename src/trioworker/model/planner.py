"""How many jobs to claim, and from where: decided from counts, never from the database.

Rule of this file: a worker claims what it expects to *start* soon, so that slow jobs are left for
others and fast ones arrive in full batches. The expectation is Little's law: `concurrency` slots
that each take `mean_s` per job start `concurrency / mean_s` jobs a second.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from trioworker.model.job import Job

FLOOR_AGE_MAX_S: Final = 0.5
"""How long a floor may hide a job that was enqueued behind it. One full scan costs what a long
transaction elsewhere makes it cost; twice a second is a bound on both."""


class Load(msgspec.Struct, frozen=True):
    """What the execute stage has to do. `mean_s` is None until the first job has ended."""

    concurrency: int
    running: int
    buffered: int
    mean_s: float | None


def claim_size(load: Load, *, pull_size: int, start_within_s: float) -> int:
    """How many jobs to claim now: 0 to `pull_size`; 0 means wait until the load has changed.

    While all slots are busy nothing is claimed until half of what may be held has been started:
    otherwise a steady load would degrade into pulls of one.
    """
    free = max(0, load.concurrency - load.running)
    target = min(pull_size, free + _starts(load, start_within_s))
    room = target - load.buffered
    if room <= 0:
        return 0
    slots_would_idle = free > load.buffered
    return room if slots_would_idle or room * 2 >= target else 0


def alone_from(reaped_max: int) -> int:
    """How many workers a job has lost when it is on its last chance: the next loss gives it up.

    Such a job is claimed alone, and nothing is pulled while it is in hand: if it is what kills its
    workers it then costs no other job anything. With a limit of 0 there is no chance to protect:
    whatever a dead worker held is given up, and a job that was never lost is claimed like any.
    """
    return max(1, reaped_max)


def _starts(load: Load, within_s: float) -> int:
    if load.mean_s is None:
        return 0
    if load.mean_s <= 0:
        return load.concurrency * 1_000_000
    return int(load.concurrency * min(within_s / load.mean_s, 1_000_000))


class Lane(msgspec.Struct, frozen=True):
    """The jobs of one tag and one priority: within a lane the order is (scheduled_for, id)."""

    tag: str
    priority: int


class Floors:
    """Where the last full pull of each lane ended, for at most `FLOOR_AGE_MAX_S`.

    A transaction held open anywhere in the database keeps the index entries of claimed jobs from
    being cleaned up; a pull that starts at its floor does not wade through them. A floor would
    also hide jobs enqueued behind it, hence the age limit, and the reset whenever a pull comes
    back short.
    """

    def __init__(self) -> None:
        self._floors: dict[Lane, tuple[datetime, UUID]] = {}
        self._since_s = 0.0

    def at(self, now_s: float) -> "FloorColumns":
        """The floors to pull from at `now_s` (monotonic seconds), as columns for the query."""
        if now_s - self._since_s >= FLOOR_AGE_MAX_S:
            self._floors.clear()
            self._since_s = now_s
        return FloorColumns(
            tags=[lane.tag for lane in self._floors],
            priorities=[lane.priority for lane in self._floors],
            scheduled_for=[due for due, _ in self._floors.values()],
            ids=[id_ for _, id_ in self._floors.values()],
        )

    def advance(self, jobs: Iterable[Job], *, full: bool) -> None:
        """Note what a pull brought (in pull order); `full` says that it brought all it asked."""
        if not full:
            self._floors.clear()
            return
        for job in jobs:
            self._floors[Lane(job.tag, job.priority)] = (job.scheduled_for, job.id)


class FloorColumns(msgspec.Struct, frozen=True):
    """Floors as parallel columns, one entry per lane."""

    tags: Sequence[str] = ()
    priorities: Sequence[int] = ()
    scheduled_for: Sequence[datetime] = ()
    ids: Sequence[UUID] = ()


NO_FLOORS: Final = FloorColumns()


class Backoff:
    """Delays that double from `first_s` to `last_s`, until something happens."""

    def __init__(self, first_s: float, last_s: float) -> None:
        assert 0 < first_s <= last_s
        self._first_s = first_s
        self._last_s = last_s
        self._next_s = first_s

    def next_s(self) -> float:
        """The delay to wait now, in seconds; the following one is twice as long."""
        delay_s = self._next_s
        self._next_s = min(self._last_s, delay_s * 2)
        return delay_s

    def reset(self) -> None:
        """Start again from `first_s`."""
        self._next_s = self._first_s
