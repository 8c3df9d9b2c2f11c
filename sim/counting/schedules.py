"""What becomes of schedules."""

from collections.abc import Mapping

from sim.counting.part import Part
from sim.database.rows import JobRow, ScheduleRow
from sim.happenings import Committed, Happening
from sim.oracles.base import Handler
from sim.oracles.schedules import tick_of
from trioworker.events import Event


class Schedules(Part):
    """What becomes of schedules."""

    states = (
        "a tick made a job by the end of the one before",
        "a tick that is late already when it becomes a job",
        "a schedule declared",
        "a failure of a schedule's job counted",
    )

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Part.handlers`."""
        return {Committed: self._committed}

    def _committed(self, _happening: Happening, event: Committed) -> None:
        rows = [(change.old, change.new) for change in event.changes]
        ticks = [
            (tick, new)
            for _, new in rows
            if isinstance(new, JobRow) and (tick := tick_of(new)) is not None
        ]
        declared = sum(isinstance(new, ScheduleRow) and old is None for old, new in rows)
        self._seen["a schedule declared"] += declared
        by_end = len(ticks) if self._facts.outcomes else 0
        self._seen["a tick made a job by the end of the one before"] += by_end
        late = sum(tick.tick < row.created_at for tick, row in ticks)
        self._seen["a tick that is late already when it becomes a job"] += late
        failed = sum(
            isinstance(old, ScheduleRow)
            and isinstance(new, ScheduleRow)
            and new.failures > old.failures
            for old, new in rows
        )
        self._seen["a failure of a schedule's job counted"] += failed
