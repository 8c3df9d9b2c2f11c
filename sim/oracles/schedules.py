"""What is promised of schedules: each tick once, with the end of the one before, and always on."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

import msgspec

from sim.database.rows import CompletedRow, JobRow, ScheduleRow
from sim.happenings import CommitLost, Committed, Happening
from sim.oracles.base import Handler, Oracle
from sim.oracles.facts import Facts
from sim.oracles.liveness import SETTLING_S, SLACK_S, SWEEP_JITTER
from sim.plan import Plan
from trioworker.events import Event
from trioworker.model.schedule import Schedule
from trioworker.model.transitions import Place

_A_MOMENT: Final = timedelta(microseconds=1)
UNDER_WAY_S: Final = 1.0
"""How long a sweep, and the statements of it, may take in a world that has healed."""


class Tick(NamedTuple):
    """A tick of a schedule."""

    schedule: str
    tick: datetime


class _Said(msgspec.Struct):
    schedule: str | None = None
    tick: datetime | None = None


_decode = msgspec.json.Decoder(_Said).decode


def tick_of(job: JobRow | None) -> Tick | None:
    """The tick that a job stands for, if it does."""
    if job is None or job.options is None or '"tick"' not in job.options:
        return None
    said = _decode(job.options)
    return None if said.schedule is None or said.tick is None else Tick(said.schedule, said.tick)


_decode_schedule: Final = msgspec.json.Decoder(Schedule).decode


def schedule_of(row: ScheduleRow) -> Schedule:
    """What is said of a schedule."""
    return _decode_schedule(row.definition)


class TickOnce(Oracle):
    """No tick becomes a job twice. Allowed: again, after a crash that undid the first time."""

    name = "tick once"
    invariant = 6

    def __init__(self, plan: Plan, facts: Facts) -> None:
        super().__init__(plan, facts)
        self._jobs: dict[Tick, UUID] = {}

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {Committed: self._committed, CommitLost: self._lost}

    def _committed(self, _happening: Happening, event: Committed) -> None:
        for change in event.changes:
            row = change.new
            if not isinstance(row, JobRow) or change.old is not None:
                continue
            if (tick := tick_of(row)) is None:
                continue
            first = self._jobs.setdefault(tick, row.id)
            if first != row.id:
                self.find(f"tick {tick.tick} of {tick.schedule} is job {first} and job {row.id}")

    def _lost(self, _happening: Happening, event: CommitLost) -> None:
        for change in event.changes:
            if isinstance(change.new, JobRow) and (tick := tick_of(change.new)) is not None:
                self._jobs.pop(tick, None)


class TickWithItsEnd(Oracle):
    """The end of a job that its schedule waits for is noted in the schedule by the same commit.

    Allowed: nothing, while the schedule is there and waits for that job.
    """

    name = "tick with its end"
    invariant = 6

    def __init__(self, plan: Plan, facts: Facts) -> None:
        super().__init__(plan, facts)
        self._pending: dict[str, UUID | None] = {}

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {Committed: self._committed, CommitLost: self._lost}

    def _committed(self, _happening: Happening, event: Committed) -> None:
        noted = {
            row.name
            for change in event.changes
            if isinstance(row := change.new or change.old, ScheduleRow)
        }
        for change in event.changes:
            row = change.new
            if not isinstance(row, CompletedRow) or change.old is not None:
                continue
            tick = tick_of(self.facts.jobs.get(row.id))
            if tick is None or tick.schedule in noted:
                continue
            if self._pending.get(tick.schedule) == row.id:
                self.find(f"job {row.id} has ended, and {tick.schedule} still waits for it")
        self._note(event)

    def _lost(self, _happening: Happening, event: CommitLost) -> None:
        for change in event.changes:
            if isinstance(change.old, ScheduleRow):
                self._pending[change.old.name] = change.old.pending

    def _note(self, event: Committed) -> None:
        for change in event.changes:
            if isinstance(change.new, ScheduleRow):
                self._pending[change.new.name] = change.new.pending
            elif isinstance(change.old, ScheduleRow):
                self._pending[change.old.name] = None  # deleted: nobody waits


class ScheduleGoesOn(Oracle):
    """A schedule that is due waits for a job that has not ended; judged when it is deleted.

    Allowed: a sweep's time, counted from when the last trouble is over for good, in a world whose
    clock was never set; one that is paused, or has no more ticks, waits for nothing.
    """

    name = "schedule goes on"
    invariant = 12

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {Committed: self._committed}

    def _committed(self, _happening: Happening, event: Committed) -> None:
        for change in event.changes:
            if isinstance(change.old, ScheduleRow) and change.new is None and not self.facts.jumps:
                self._judge(change.old)

    def _judge(self, row: ScheduleRow) -> None:
        if row.paused or (row.look_at is None and _is_over(row)):
            return
        if row.pending in {move.job for move in self.facts.moves}:
            return  # taken back by whoever has deleted the schedule
        stand = None if row.pending is None else self.facts.stands.get(row.pending)
        if stand is not None and stand.place is not Place.COMPLETED:
            return
        due_s = 0.0 if row.look_at is None else (row.look_at - self.plan.begins).total_seconds()
        late_s = self.facts.now_s - max(due_s, self.facts.troubled_s + SETTLING_S)
        if late_s > self.plan.sizes.sweep_s * SWEEP_JITTER + SLACK_S + UNDER_WAY_S:
            self.find(f"{row.name} is due since {late_s:.1f} s, and no job of it is unfinished")


class InTurn(Oracle):
    """The ticks of a schedule become jobs in turn: each one that it has, and none of a pause.

    Unless overlaps are allowed the job of the one before has ended by then, and with catch-up "all"
    none is left out. Allowed: whoever changes, pauses or resumes a schedule begins anew, and so
    does a crash of the server that undid a tick; what runs by then comes to its end.
    """

    name = "in turn"
    invariant = 12

    def __init__(self, plan: Plan, facts: Facts) -> None:
        super().__init__(plan, facts)
        self._rows: dict[str, ScheduleRow] = {}
        self._last: dict[str, JobRow] = {}

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {Committed: self._committed, CommitLost: self._lost}

    def _lost(self, *_: object) -> None:
        self._last.clear()

    def _committed(self, _happening: Happening, event: Committed) -> None:
        rows = [(change.old, change.new) for change in event.changes]
        for old, new in rows:
            if isinstance(row := new or old, ScheduleRow):
                self._rows[row.name] = row
                if not _goes_on(old, new):
                    self._last.pop(row.name, None)
        new_jobs = [new for old, new in rows if old is None and isinstance(new, JobRow)]
        ticks = [(tick, job) for job in new_jobs if (tick := tick_of(job)) is not None]
        for tick, job in sorted(ticks, key=lambda each: each[0]):
            if (schedule := self._rows.get(tick.schedule)) is not None:
                self._judge(schedule, tick.tick, job)
            self._last[tick.schedule] = job

    def _judge(self, row: ScheduleRow, tick: datetime, job: JobRow) -> None:
        schedule, last = schedule_of(row), self._last.get(row.name)
        what = f"tick {tick} of {row.name} became job {job.id}"
        if row.paused:
            self.find(f"{what} although it is paused")
        if schedule.timing.next(tick - _A_MOMENT) != tick:
            self.find(f"{what} and is none")
        if last is None or (before := tick_of(last)) is None:
            return
        stand = self.facts.stands.get(last.id)
        if schedule.overlap != "allow" and stand is not None and stand.place is not Place.COMPLETED:
            self.find(f"{what} while job {last.id} of the one before has not ended")
        if tick <= before.tick:
            self.find(f"{what} after that of {before.tick}")
        elif schedule.catch_up == "all" and schedule.timing.next(before.tick) != tick:
            self.find(f"{what}, and those since {before.tick} were left out")


def _goes_on(old: object, new: object) -> bool:
    """Whether a schedule has gone on as it was: nobody has changed anything about it."""
    if not isinstance(old, ScheduleRow) or not isinstance(new, ScheduleRow):
        return False
    taken_back = old.last_tick is not None and new.last_tick is None
    return not taken_back and (old.definition, old.paused) == (new.definition, new.paused)


def _is_over(row: ScheduleRow) -> bool:
    """Whether no tick is left."""
    base = max(row.decided_until, row.last_tick or row.decided_until)
    return schedule_of(row).timing.next(base) is None
