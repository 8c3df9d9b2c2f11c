"""What is promised of schedules: each tick once, with the end of the one before, and always on."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

import msgspec

from sim.database.rows import CompletedRow, JobRow, ScheduleRow
from sim.database.server import EPOCH
from sim.happenings import CommitLost, Committed, Happening
from sim.oracles.base import Handler, Oracle
from sim.oracles.facts import Facts
from sim.oracles.liveness import SLACK_S, SWEEP_JITTER
from sim.plan import Plan
from trioworker.events import Event
from trioworker.model.transitions import Place

UNDER_WAY_S: Final = 5.0
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

    Allowed: a sweep's time, in a world that has healed long ago and whose clock was never set.
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
        stand = None if row.pending is None else self.facts.stands.get(row.pending)
        if stand is not None and stand.place is not Place.COMPLETED:
            return
        due_s = 0.0 if row.look_at is None else (row.look_at - EPOCH).total_seconds()
        late_s = self.facts.now_s - due_s
        if late_s > self.plan.sizes.sweep_s * SWEEP_JITTER + SLACK_S + UNDER_WAY_S:
            self.find(f"{row.name} is due since {late_s:.1f} s, and no job of it is unfinished")
