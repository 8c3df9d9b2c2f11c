"""What becomes of schedules."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from sim.counting.part import Part
from sim.database.rows import JobRow, ScheduleRow
from sim.happenings import BodyEnded, BodyStarted, Committed, Happening
from sim.oracles.base import Handler
from sim.oracles.facts import Facts
from sim.oracles.retries import options_of
from sim.oracles.schedules import schedule_of, tick_of
from trioworker.events import Event
from trioworker.model.transitions import Place

LATE: Final = timedelta(seconds=3)
AN_HOUR: Final = timedelta(hours=1)


class Schedules(Part):
    """What becomes of schedules."""

    states = (
        "a tick made a job by the end of the one before",
        "a tick that is late already when it becomes a job",
        "a tick caught up long after it was due",
        "a tick after a change of the clocks on the wall",
        "a tick taken back before it began",
        "a schedule declared",
        "a schedule without any more ticks",
        "a schedule paused while its job runs",
        "a schedule resumed while its job runs",
        "a schedule changed while its job runs",
        "a schedule deleted while its job runs",
        "a schedule run by hand while the job of a tick is due or runs",
        "two jobs of a schedule running side by side",
        "a failure of a schedule's job counted",
    )

    def __init__(self, facts: Facts, seen: Counter[str]) -> None:
        super().__init__(facts, seen)
        self._running: dict[str, Counter[UUID]] = {}
        self._rows: dict[str, ScheduleRow] = {}

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Part.handlers`."""
        return {Committed: self._committed, BodyStarted: self._begins, BodyEnded: self._ends}

    def _begins(self, _happening: Happening, event: BodyStarted) -> None:
        if (schedule := options_of(self._facts, event.job).schedule) is not None:
            jobs = self._running.setdefault(schedule, Counter())
            jobs[event.job] += 1
            self._seen["two jobs of a schedule running side by side"] += len(+jobs) > 1

    def _ends(self, _happening: Happening, event: BodyEnded) -> None:
        for jobs in self._running.values():
            if event.job in jobs:
                jobs[event.job] -= 1

    def _committed(self, _happening: Happening, event: Committed) -> None:
        for change in event.changes:
            old, new = change.old, change.new
            if isinstance(old, ScheduleRow) or isinstance(new, ScheduleRow):
                self._changed(old, new)
        for change in event.changes:
            if isinstance(change.new, JobRow) and change.old is None:
                self._enqueued(change.new)
            elif isinstance(change.old, JobRow) and tick_of(change.old) is not None:
                self._seen["a tick taken back before it began"] += change.new is None

    def _changed(self, old: object, new: object) -> None:
        """What somebody has done to a schedule, perhaps while a job of it runs."""
        if not isinstance(new, ScheduleRow):
            assert isinstance(old, ScheduleRow)
            del self._rows[old.name]
            self._seen["a schedule deleted while its job runs"] += self._runs(old.name)
            return
        self._rows[new.name] = new
        if not isinstance(old, ScheduleRow):
            self._seen["a schedule declared"] += 1
            return
        runs = self._runs(new.name)
        self._seen["a failure of a schedule's job counted"] += new.failures > old.failures
        self._seen["a schedule paused while its job runs"] += runs and new.paused > old.paused
        self._seen["a schedule resumed while its job runs"] += runs and new.paused < old.paused
        changed = new.definition != old.definition
        self._seen["a schedule changed while its job runs"] += runs and changed
        over = (new.paused, new.look_at) == (False, None) and old.look_at is not None
        self._seen["a schedule without any more ticks"] += over

    def _enqueued(self, job: JobRow) -> None:
        schedule = options_of(self._facts, job.id).schedule
        if schedule is None:
            return
        tick = tick_of(job)
        if tick is None:
            what = "a schedule run by hand while the job of a tick is due or runs"
            self._seen[what] += self._runs(schedule) or self._is_due(schedule, job.created_at)
            return
        self._seen["a tick made a job by the end of the one before"] += bool(self._facts.outcomes)
        late = job.created_at - tick.tick
        self._seen["a tick that is late already when it becomes a job"] += late > timedelta(0)
        self._seen["a tick caught up long after it was due"] += late > LATE
        zone = schedule_of(self._rows[schedule]).timing.timezone
        changed = _offset(tick.tick, zone) != _offset(tick.tick - AN_HOUR, zone)
        self._seen["a tick after a change of the clocks on the wall"] += changed

    def _runs(self, schedule: str) -> bool:
        return bool(+self._running.get(schedule, Counter()))

    def _is_due(self, schedule: str, now: datetime) -> bool:
        row = self._rows[schedule]
        stand = None if row.pending is None else self._facts.stands.get(row.pending)
        due = row.last_tick is not None and row.last_tick <= now
        return due and stand is not None and stand.place is not Place.COMPLETED


def _offset(moment: datetime, zone: str) -> timedelta | None:
    return moment.astimezone(ZoneInfo(zone)).utcoffset()
