"""What is stored with the end of a job, and what becomes of it then: gone, or run once more."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sim.database.rows import (
    AttemptRow,
    CompletedRow,
    ExpiryRow,
    LabelRow,
    LogRow,
    ProgressRow,
    Row,
)
from sim.families import FAMILIES
from sim.happenings import (
    BodyEnded,
    Committed,
    Happening,
    RequeueAnswered,
    RequeueAsked,
)
from sim.oracles.base import Handler, Oracle
from sim.oracles.facts import Attempt, Facts, Move
from sim.oracles.outcomes import REFUSALS_BEFORE_BARE
from sim.oracles.retries import options_of
from sim.oracles.schedules import tick_of
from sim.plan import Plan
from trioworker.events import Event, OutcomeRefused
from trioworker.model.transitions import Place

BAD_ENDS: Final = ("failure", "canceled")
UNSTARTED: Final = (Place.READY, Place.WAITING)
OWN_ROWS: Final = (LabelRow, AttemptRow, LogRow, ExpiryRow, ProgressRow)
"""What there is of a job besides what it is and how it ended."""


def ends_of(facts: Facts) -> Sequence[tuple[Move, CompletedRow]]:
    """The jobs that end in the commit at hand."""
    return [
        (move, move.new.row)
        for move in facts.moves
        if move.new is not None and isinstance(move.new.row, CompletedRow)
    ]


class Labelled(Oracle):
    """Invariant 6: with its end a job has the labels that were said of it and those it gave itself.

    These and no others, from the same commit: those of an attempt that another followed count for
    nothing. Allowed: none of its own for a job whose outcome was stored bare, because even that was
    refused; nor for one that was not run in this claim.
    """

    name = "labelled"
    invariant = 6

    def __init__(self, plan: Plan, facts: Facts) -> None:
        super().__init__(plan, facts)
        self._given: dict[Attempt, list[frozenset[str]]] = {}
        self._claims: Counter[Attempt] = Counter()
        self._refusals: Counter[tuple[UUID, UUID]] = Counter()

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {BodyEnded: self._ended, OutcomeRefused: self._refused, Committed: self._committed}

    def _ended(self, _happening: Happening, event: BodyEnded) -> None:
        key = (event.worker, event.job, event.attempt)
        self._given.setdefault(key, []).append(frozenset(event.labels))

    def _refused(self, _happening: Happening, event: OutcomeRefused) -> None:
        self._refusals[event.worker, event.job] += 1

    def _committed(self, _happening: Happening, event: Committed) -> None:
        stored: dict[UUID, set[str]] = {}
        for change in event.changes:
            if isinstance(row := change.new, LabelRow):
                stored.setdefault(row.id, set()).add(row.label)
        for job, _old, new in self.facts.moves:
            if new is not None and new.place is Place.CLAIMED and new.worker is not None:
                self._claims[new.worker, job, new.attempt] += 1
        for move, _row in ends_of(self.facts):
            has = stored.pop(move.job, set())
            said = set(options_of(self.facts, move.job).labels)
            if all(has != said | given for given in self._may_have_given(move)):
                self.find(f"job {move.job} ended with the labels {sorted(has)}")
        for job in stored:
            self.find(f"job {job} has labels and has not ended")

    def _may_have_given(self, move: Move) -> Sequence[frozenset[str]]:
        if move.old is None or move.old.worker is None:
            return [frozenset()]
        key = (move.old.worker, move.job, move.old.attempt)
        given = self._given.get(key, [])
        bare = self._refusals[key[:2]] >= REFUSALS_BEFORE_BARE
        reaped = move.new is not None and move.new.reaped > move.old.reaped
        unrun = self._claims[key] > len(given)
        return [*given, *([frozenset[str]()] if bare or reaped or unrun else [])]


class Deleted(Oracle):
    """What is deleted has ended, its time has come, and nothing of it is left.

    That time is noted with each end of a job that asks for it, and with no other. Allowed: earlier
    by the server's clock, once somebody has set that; the job of a tick that has not begun may be
    taken back.
    """

    name = "deleted"
    invariant = 6

    def __init__(self, plan: Plan, facts: Facts) -> None:
        super().__init__(plan, facts)
        self._ended: dict[UUID, CompletedRow] = {}
        self._rows: Counter[UUID] = Counter()

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {Committed: self._committed}

    def _committed(self, _happening: Happening, event: Committed) -> None:
        expiries = {row.id: row for c in event.changes if isinstance(row := c.new, ExpiryRow)}
        for change in event.changes:
            self._rows[_owner(change.old)] -= 1
            self._rows[_owner(change.new)] += 1
        for job in sorted(self.facts.deleted):
            self._judge(job)
        for job, _old, new in self.facts.moves:
            if new is None or new.place is not Place.COMPLETED:
                self._ended.pop(job, None)
        for _move, row in ends_of(self.facts):
            self._ended[row.id] = row
            self._noted(row, expiries.pop(row.id, None))
        for job in expiries:
            self.find(f"job {job} is to be deleted and has not ended")

    def _judge(self, job: UUID) -> None:
        row = self._ended.get(job)
        if row is None and not self._is_taken_back(job):
            self.find(f"job {job} was deleted and had not ended")
        elif row is not None and not self.facts.jumps and not self._is_time(row):
            self.find(f"job {job} was deleted and its time had not come")
        if self._rows[job]:
            self.find(f"job {job} was deleted and {self._rows[job]} of its rows were left")

    def _is_taken_back(self, job: UUID) -> bool:
        old = next((move.old for move in self.facts.moves if move.job == job), None)
        is_tick = tick_of(self.facts.known[job]) is not None
        return is_tick and old is not None and old.place in UNSTARTED

    def _is_time(self, row: CompletedRow) -> bool:
        after_s = (_after_s(self.facts, row.id), self.plan.sizes.retention_s)
        times = [row.completed_at + timedelta(seconds=s) for s in after_s if s is not None]
        return any(time <= self._now for time in times)

    @property
    def _now(self) -> datetime:
        return self.plan.begins + timedelta(seconds=self.facts.now_s)

    def _noted(self, row: CompletedRow, expiry: ExpiryRow | None) -> None:
        after_s = _after_s(self.facts, row.id)
        due = None if after_s is None else row.completed_at + timedelta(seconds=after_s)
        if due != (None if expiry is None else expiry.at):
            said = "is not" if expiry is None else f"at {expiry.at} is"
            self.find(f"job {row.id} {said} to be deleted, and asked for {after_s} s")


def _after_s(facts: Facts, job: UUID) -> float | None:
    return options_of(facts, job).delete_after_s


def _owner(row: Row | None) -> UUID:
    return row.id if isinstance(row, OWN_ROWS) else NOBODY


NOBODY: Final = UUID(int=0)


class SecondChance(Oracle):
    """A job that has ended is run once more when a client asks for it, and once for each time.

    It had ended badly, nothing that came with its end is left, and how it ended is on record. What
    the client is told is so: of those that are ready each has been made so.
    """

    name = "second chance"
    invariant = 2

    def __init__(self, plan: Plan, facts: Facts) -> None:
        super().__init__(plan, facts)
        self._asked: Counter[UUID] = Counter()
        self._again: Counter[UUID] = Counter()
        self._rows: Counter[UUID] = Counter()

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {
            RequeueAsked: self._ask,
            RequeueAnswered: self._answered,
            Committed: self._committed,
        }

    def _ask(self, _happening: Happening, event: RequeueAsked) -> None:
        self._asked.update(event.jobs)

    def _answered(self, _happening: Happening, event: RequeueAnswered) -> None:
        for job in event.ready:
            self._again[job] -= 1
            if self._again[job] < 0:
                self.find(f"job {job} is said to be ready once more, and was not made so")

    def _committed(self, _happening: Happening, event: Committed) -> None:
        kept = {(c.new.id, c.new.attempt) for c in event.changes if isinstance(c.new, AttemptRow)}
        for change in event.changes:
            for row, count in ((change.old, -1), (change.new, 1)):
                if isinstance(row, LabelRow | ExpiryRow):
                    self._rows[row.id] += count
        for move in self.facts.moves:
            if move.old is not None and move.new is not None and move.old.place is Place.COMPLETED:
                self._judge(move, kept)

    def _is_asked_by_its_parent(self, job: UUID) -> bool:
        """A later try of a function has its children run again that failed."""
        above = self.facts.jobs[job].parent
        stand = None if above is None else self.facts.stands.get(above)
        if above is None or stand is None:
            return False
        return self.facts.known[above].path in FAMILIES and stand.place is Place.CLAIMED

    def _judge(self, move: Move, kept: set[tuple[UUID, int]]) -> None:
        job, old, _new = move
        assert old is not None
        assert isinstance(old.row, CompletedRow)
        self._again[job] += 1
        if self._is_asked_by_its_parent(job):
            return
        self._asked[job] -= 1
        if self._asked[job] < 0:
            self.find(f"job {job} is run once more, and nobody has asked for that")
        if old.row.status not in BAD_ENDS:
            self.find(f"job {job} is run once more after a {old.row.status}")
        if (job, old.attempt) not in kept:
            self.find(f"how attempt {old.attempt} of job {job} ended is in no history")
        if self._rows[job]:
            self.find(f"job {job} is run once more, with what came with its end")
