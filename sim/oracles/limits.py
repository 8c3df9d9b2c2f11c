"""Invariant 11: no more jobs of a key than its limit, and nobody waits for a slot that is free."""

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sim.database.models.limits import limit_of
from sim.database.rows import Row, SlotRow, SpentRow, WaitingRow
from sim.flowing import IN_LINE
from sim.happenings import (
    BodyEnded,
    BodyStarted,
    CancelAsked,
    CommitLost,
    Committed,
    Happening,
    WorkerCrashed,
    WorkerExited,
    WorkerKilled,
)
from sim.oracles.base import Handler, Oracle
from sim.oracles.facts import LONG_AGO_S, Facts, may_be_replaced
from sim.oracles.liveness import SETTLING_S, SLACK_S, SWEEP_JITTER
from sim.plan import Plan
from trioworker.events import Event
from trioworker.model.transitions import Place

HOLDING: Final = (Place.READY, Place.CLAIMED, Place.FLOW)


class SlotsHeld(Oracle):
    """A limited job has a slot just while it is ready or claimed, and no key has too many.

    Nothing is allowed here: whatever moves such a job takes or frees its slot in the same commit.
    """

    name = "slots held"
    invariant = 11

    def __init__(self, plan: Plan, facts: Facts) -> None:
        super().__init__(plan, facts)
        self._slots: dict[UUID, str] = {}
        self._wrong: set[object] = set()

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {Committed: self._committed, CommitLost: self._lost}

    def _committed(self, _happening: Happening, event: Committed) -> None:
        self._judge([(change.old, change.new) for change in event.changes])

    def _lost(self, _happening: Happening, event: CommitLost) -> None:
        self._judge([(change.new, change.old) for change in reversed(event.changes)])

    def _judge(self, changes: list[tuple[Row | None, Row | None]]) -> None:
        concerned = {move.job for move in self.facts.moves}
        for old, new in changes:
            row = new or old
            if isinstance(row, SlotRow):
                concerned.add(row.id)
                if new is None:
                    self._slots.pop(row.id, None)
                else:
                    self._slots[row.id] = row.key
        for job in concerned:
            self._judge_job(job)
        keys = {self._slots[job] for job in concerned if job in self._slots}
        counts = Counter(self._slots.values()) if keys else Counter()
        for key in keys:
            if counts[key] > (limit := _slots_of(self.plan, key)):
                self._once(key, f"{counts[key]} jobs have slots of {key}, which has {limit}")

    def _judge_job(self, job: UUID) -> None:
        row, stand = self.facts.jobs.get(job), self.facts.stands.get(job)
        if row is None or stand is None or (limit := limit_of(row)) is None:
            return
        if (job in self._slots) != (stand.place in HOLDING):
            has = "has" if job in self._slots else "has no"
            self._once(job, f"job {job} is in {stand.place} and {has} slot of {limit[0]}")

    def _once(self, what: object, message: str) -> None:
        if what not in self._wrong:
            self._wrong.add(what)
            self.find(message)


class WithinLimit(Oracle):
    """No more jobs of a key run at a time than it has slots, as the bodies tell it.

    Two executions of one job count as one, for it has one slot. Not counted is what runs on without
    a claim: under a lease that was taken away, or after a crash of the server that undid the pull.
    """

    name = "within limit"
    invariant = 11

    def __init__(self, plan: Plan, facts: Facts) -> None:
        super().__init__(plan, facts)
        self._running: dict[tuple[UUID, UUID], None] = {}

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {
            BodyStarted: self._started,
            BodyEnded: self._ended,
            WorkerKilled: self._over,
            WorkerCrashed: self._over,
            WorkerExited: self._over,
        }

    def _started(self, _happening: Happening, event: BodyStarted) -> None:
        self._running[event.worker, event.job] = None
        key = self._key(event.job)
        if key is None:
            return
        running = {job for worker, job in self._running if self._counts(worker, job, key)}
        if len(running) > (limit := _slots_of(self.plan, key)):
            self.find(f"{len(running)} jobs of {key} run at a time, and it has {limit} slots")

    def _ended(self, _happening: Happening, event: BodyEnded) -> None:
        self._running.pop((event.worker, event.job), None)

    def _over(self, happening: Happening, _event: object) -> None:
        for worker, job in list(self._running):
            if self.facts.actors.get(worker) == happening.actor:
                del self._running[worker, job]

    def _key(self, job: UUID) -> str | None:
        row = self.facts.jobs.get(job)
        limit = None if row is None else limit_of(row)
        return None if limit is None else limit[0]

    def _counts(self, worker: UUID, job: UUID, key: str) -> bool:
        stand = self.facts.stands.get(job)
        claimed = stand is not None and (stand.place, stand.worker) == (Place.CLAIMED, worker)
        return claimed and not self.facts.is_dead(worker) and self._key(job) == key


class NextInLine(Oracle):
    """Whoever gets a slot was the first in line: by priority, then by due time, then by id.

    Allowed: one that somebody wants to cancel, or whose key another job has, may be locked, and is
    passed over. Of one that is due later than the one that got in, nobody knows here whether it was
    due at all.
    """

    name = "next in line"
    invariant = 11

    def __init__(self, plan: Plan, facts: Facts) -> None:
        super().__init__(plan, facts)
        self._in_line: dict[UUID, WaitingRow] = {}
        self._cancelled: set[UUID] = set()

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {Committed: self._committed, CancelAsked: self._cancel_asked}

    def _cancel_asked(self, _happening: Happening, event: CancelAsked) -> None:
        for job in event.jobs:
            self._cancelled.update(self._family(job))

    def _family(self, job: UUID) -> Iterator[UUID]:
        yield job
        yield from (other for other in self.facts.jobs if job in self.facts.lineage(other))

    def _committed(self, _happening: Happening, event: Committed) -> None:
        got_in: list[WaitingRow] = []
        for change in event.changes:
            if isinstance(change.old, WaitingRow) and change.old.key is not None:
                self._in_line.pop(change.old.id, None)
                if change.new is None and self._is_ready(change.old.id):
                    got_in.append(change.old)
            if isinstance(change.new, WaitingRow) and change.new.key is not None:
                self._in_line[change.new.id] = change.new
        for row in got_in:
            if (first := self._passed_over(row)) is not None:
                self.find(f"job {row.id} got a slot of {row.key} before job {first}")

    def _is_ready(self, job: UUID) -> bool:
        stand = self.facts.stands.get(job)
        return stand is not None and stand.place is Place.READY

    def _passed_over(self, row: WaitingRow) -> UUID | None:
        assert row.scheduled_for is not None
        for other in self._in_line.values():
            assert other.scheduled_for is not None
            surely_due = other.key == row.key and other.scheduled_for <= row.scheduled_for
            if surely_due and _turn(other) < _turn(row) and not self._may_be_locked(other.id):
                return other.id
        return None

    def _may_be_locked(self, job: UUID) -> bool:
        return job in self._cancelled or may_be_replaced(self.facts.jobs[job])


class SlotFilled(Oracle):
    """A due job does not wait for a slot that is free, once faults have stopped for good.

    Counted from the last change of the key's slots, or from the moment at which the job is due and
    in line.
    Allowed: a sweep, for a worker may not have heard when it is time to look. Without a window, and
    as long as nobody has set the server's clock: otherwise it is not known here when that is.
    """

    name = "slot filled"
    invariant = 11

    def __init__(self, plan: Plan, facts: Facts) -> None:
        super().__init__(plan, facts)
        self._changed_s: dict[str, float] = {}
        self._came_s: dict[UUID, float] = {}

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {Committed: self._committed}

    def _committed(self, _happening: Happening, event: Committed) -> None:
        slots = [c for c in event.changes if isinstance(c.new or c.old, SlotRow | SpentRow)]
        leaves = {c.old.key for c in slots if isinstance(c.old, SlotRow) and c.new is None}
        for change in event.changes:
            if isinstance(change.new, WaitingRow) and change.old is None:
                self._came_s[change.new.id] = self.facts.now_s
            if isinstance(change.old, WaitingRow) and change.old.key not in {None, *leaves}:
                self._judge(change.old)
        for change in slots:
            row = change.new or change.old
            assert isinstance(row, SlotRow | SpentRow)
            self._changed_s[row.key] = self.facts.now_s

    def _judge(self, row: WaitingRow) -> None:
        facts, sizes = self.facts, self.plan.sizes
        stand = facts.stands.get(row.id)
        got_in = stand is not None and stand.place is Place.READY
        patience_s = SWEEP_JITTER * sizes.sweep_s + SLACK_S
        calm = facts.now_s - patience_s >= facts.troubled_s + SETTLING_S
        if not got_in or not calm or facts.jumps or self.plan.window_s is not None:
            return
        assert row.key is not None
        due_s = self._second(row.scheduled_for)
        since_s = max(due_s, self._changed_s.get(row.key, LONG_AGO_S))
        since_s = max(since_s, facts.troubled_s, self._came_s[row.id])
        if facts.now_s - since_s > patience_s:
            waited_s = facts.now_s - since_s
            self.find(f"job {row.id} waited for {waited_s:.2f} s for a free slot of {row.key}")

    def _second(self, moment: datetime | None) -> float:
        assert moment is not None
        return (moment - self.plan.begins) / timedelta(seconds=1)


def _slots_of(plan: Plan, key: str) -> int:
    return 1 if key == IN_LINE else plan.limits[int(key.removeprefix("key-"))]


def _turn(row: WaitingRow) -> tuple[int, datetime, UUID]:
    assert row.priority is not None
    assert row.scheduled_for is not None
    return -row.priority, row.scheduled_for, row.id
