"""Where a job stands: in one place, by the ways that the table of transitions knows."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final
from uuid import UUID

from sim.database.rows import (
    ClaimRow,
    CompletedRow,
    FlowStateRow,
    JobRow,
    ReadyRow,
    Row,
    WaitingRow,
)
from sim.happenings import CommitLost, Committed, Enqueued, Happening, RowChange
from sim.oracles.base import Handler, Oracle
from sim.oracles.facts import Facts, Leaving, Move, Stand, replaced_by
from sim.oracles.schedules import tick_of
from sim.plan import Plan
from trioworker.events import Event
from trioworker.model.tags import worker_of
from trioworker.model.transitions import TRANSITIONS, Place


class NothingLost(Oracle):
    """Invariant 1: after every commit each job stands in exactly one place.

    Allowed: an enqueue that a client was never told of may come to nothing, but not half; a job
    that was deleted, which is for `Deleted`.
    """

    name = "nothing lost"
    invariant = 1

    def __init__(self, plan: Plan, facts: Facts) -> None:
        super().__init__(plan, facts)
        self._places: dict[UUID, Counter[str]] = {}
        self._promised: set[UUID] = set()
        self._gone: set[UUID] = set()

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {
            Committed: self._committed,
            CommitLost: self._undone,
            Enqueued: self._enqueued,
        }

    def _committed(self, _happening: Happening, event: Committed) -> None:
        self._gone |= self.facts.deleted
        if self._gone:
            self._gone = {job for job in self._gone if job not in self.facts.jobs}
        self._move(event.changes, sign=1)

    def _undone(self, _happening: Happening, event: CommitLost) -> None:
        self._move(event.changes, sign=-1)

    def _enqueued(self, _happening: Happening, event: Enqueued) -> None:
        self._promised.update(event.jobs)
        for job in event.jobs:
            self._check(job)

    def _move(self, changes: Sequence[RowChange], *, sign: int) -> None:
        touched: dict[UUID, None] = {}
        for change in changes:
            for row, count in ((change.old, -sign), (change.new, sign)):
                for job in _jobs_of(row):
                    self._places.setdefault(job, Counter())[change.table] += count
                    touched[job] = None
        for job in touched:
            self._check(job)

    def _check(self, job: UUID) -> None:
        places = +self._places.get(job, Counter())
        total = places.total()
        if total > 1:
            self.find(f"job {job} stands in {dict(places)}")
        known = job in self._promised or job in self.facts.jobs
        if total == 0 and known and job not in self._gone:
            self.find(f"job {job} stands nowhere")


def _is_replaced(stand: Stand) -> bool:
    """Whether a job gave way to another, which may have come in the very same enqueue."""
    return isinstance(stand.row, CompletedRow) and replaced_by(stand.row) is not None


class Transitions(Oracle):
    """Invariants 1 and 4: a job moves only as the table says, and its counters with it.

    An enqueue begins at attempt 1. A pull and a completion keep both counters. A way back to ready
    keeps the attempt (snoozed, interrupted) or adds one (retried). A reaping adds one to each, is
    done to the claims of the dead alone, and gives up exactly at the limit. Allowed: who changes a
    schedule takes back the jobs of its ticks that have not begun. What has ended may be deleted,
    and begins another attempt when somebody asks for it (see `SecondChance`); the loss that gave it
    up counts no more as one then, unless it was the only one.
    """

    name = "transitions"
    invariant = 1

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {Committed: self._committed}

    def _committed(self, _happening: Happening, event: Committed) -> None:
        undone = {id_ for change in event.changes for id_ in _taken_back(change)}
        moves = [move for move in self.facts.moves if not _is_undone(move, undone)]
        wrong = {move.job: self._wrong(move) for move in moves}
        wrong.update((leaving.job, self._wrong_reaping(leaving)) for leaving in self.facts.reapings)
        for job, old, new in moves:
            if wrong[job] is not None:
                self.find(f"job {job} went from {_named(old)} to {_named(new)}: {wrong[job]}")

    def _wrong(self, move: Move) -> str | None:
        """What is wrong with a move that is no reaping."""
        old, new = move.old, move.new
        if new is None:
            is_over = old is not None and old.place is Place.COMPLETED
            return None if is_over and move.job in self.facts.deleted else "no job disappears"
        if old is None:
            first = new.place in _FIRST or _is_replaced(new) or self._is_handed(move.job, new)
            fresh = first and (new.attempt, new.reaped) == (1, 0)
            return None if fresh else "an enqueue begins with the first attempt"
        if move.places not in _WAYS:
            return "there is no such way"
        charged = new.attempt - old.attempt
        if isinstance(old.row, FlowStateRow) and new.place in _FIRST:
            lost = charged == 1 and self.facts.is_dead(old.row.worker)
            return None if lost else "a flow begins anew when its worker is gone"
        if isinstance(old.row, CompletedRow):
            right = (charged, new.reaped) == (1, _reaped_again(old.row))
            return None if right else "whoever asks for it once more gets another attempt"
        if new.reaped != old.reaped:
            return "only a reaping counts as one"
        if charged != 0 and not (charged == 1 and move.places in _ANOTHER_TRY):
            return "only another try is another attempt"
        return None

    def _is_handed(self, job: UUID, new: Stand) -> bool:
        """Whether a worker's commit has made a job for itself alone."""
        made = self.facts.jobs.get(job)
        return made is not None and worker_of(made.tag) == new.worker is not None

    def _wrong_reaping(self, leaving: Leaving) -> str | None:
        _job, worker, old, new = leaving
        limit = self.plan.sizes.reaped_max
        if not self.facts.is_dead(worker):
            return "its worker lives"
        if isinstance(new.row, CompletedRow) and self.facts.is_stranded(new.row):
            return None  # nobody else may run it
        if (old.reaped >= limit) != (new.place is Place.COMPLETED):
            return f"a job is given up after {limit} lost workers, not otherwise"
        if new.place is Place.READY and new.attempt != old.attempt + 1:
            return "a reaped job begins another attempt"
        return None


def _taken_back(change: RowChange) -> Iterator[UUID]:
    """The job of a tick that is as if it had never been."""
    if isinstance(change.old, JobRow) and change.new is None and tick_of(change.old) is not None:
        yield change.old.id


def _is_undone(move: Move, undone: AbstractSet[UUID]) -> bool:
    """Whether a job of these is gone that nobody had begun, or is another of the same tick."""
    stands = [stand for stand in (move.old, move.new) if stand is not None]
    fresh = all(s.place in _FIRST and (s.attempt, s.reaped) == (1, 0) for s in stands)
    return move.job in undone and fresh


class Settled(Oracle):
    """Invariant 2: a job is completed once, and what is stored of it never changes.

    Above all, what was cancelled never becomes done. It may be gone, with its job or because that
    is run once more; whether that was right is for `Deleted` and `SecondChance`.
    """

    name = "settled"
    invariant = 2

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {Committed: self._committed}

    def _committed(self, _happening: Happening, event: Committed) -> None:
        for change in event.changes:
            if isinstance(change.old, CompletedRow) and not self._may_go(change.old.id, change.new):
                became = "gone" if change.new is None else f"now {_status(change.new)}"
                self.find(f"job {change.old.id} was {change.old.status} and is {became}")

    def _may_go(self, job: UUID, new: Row | None) -> bool:
        stand = self.facts.stands.get(job)
        again = stand is not None and stand.place in _FIRST
        return new is None and (again or job in self.facts.deleted)


class Durable(Oracle):
    """Invariants 1 and 2: a crash of the server may undo pulls, and nothing else.

    A pull that is undone leaves its jobs ready, which costs at most another execution. Whatever
    else is acknowledged has waited for the disk: results, enqueues, leases.
    """

    name = "durable"
    invariant = 2

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {CommitLost: self._lost}

    def _lost(self, _happening: Happening, event: CommitLost) -> None:
        for change in event.changes:
            took = change.table == Place.READY and change.new is None
            claimed = change.table == Place.CLAIMED and change.old is None
            if not (took or claimed):
                self.find(f"the crash undid a change of {change.table}: {change.new or change.old}")


class NotEarly(Oracle):
    """Invariant 9: no job is claimed before it is due by the server's clock.

    That clock may be set in the meantime; a pull reads it once, when it begins.
    """

    name = "not early"
    invariant = 9

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {Committed: self._committed}

    def _committed(self, *_: object) -> None:
        for job, old, new in self.facts.moves:
            if old is None or new is None or not isinstance(new.row, ClaimRow):
                continue
            if isinstance(old.row, ReadyRow) and old.row.scheduled_for > new.row.claimed_at:
                early = old.row.scheduled_for - new.row.claimed_at
                self.find(f"job {job} was claimed {early} before it was due")


def _ways() -> Iterator[tuple[Place, Place]]:
    for (origin, _cause), target in TRANSITIONS.items():
        yield origin, target
    # One that waits for a slot goes through ready, in a transaction that nobody sees.
    yield Place.CLAIMED, Place.WAITING
    yield Place.COMPLETED, Place.WAITING


_WAYS: Final = frozenset(_ways())
_FIRST: Final = (Place.READY, Place.WAITING)
_ANOTHER_TRY: Final = ((Place.CLAIMED, Place.READY), (Place.CLAIMED, Place.WAITING))


def _jobs_of(row: Row | None) -> Iterator[UUID]:
    if isinstance(row, ReadyRow | WaitingRow | FlowStateRow | CompletedRow):
        yield row.id
    elif isinstance(row, ClaimRow):
        yield from row.ids


def _reaped_again(done: CompletedRow) -> int:
    """How many lost workers count of a job that is run once more."""
    given_up = '"WorkerLost"' in (done.error or "")
    return done.reaped - 1 if given_up and done.reaped > 1 else done.reaped


def _named(stand: Stand | None) -> str:
    if stand is None:
        return "nowhere"
    place, row, attempt, reaped, _worker = stand
    status = f" as {_status(row)}" if place is Place.COMPLETED else ""
    return f"{place}{status} (attempt {attempt}, reaped {reaped})"


def _status(row: Row) -> str:
    return row.status if isinstance(row, CompletedRow) else type(row).__name__
