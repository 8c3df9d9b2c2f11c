"""What is stored of jobs while they run."""

from collections.abc import Mapping

from sim.counting.part import Part
from sim.database.rows import LogRow
from sim.happenings import Committed, Happening
from sim.oracles.base import Handler
from trioworker.events import Event, FlushFailed, StatementRun


class Running(Part):
    """What is stored of jobs while they run."""

    states = (
        "lines of several running jobs stored at once",
        "a flush that failed",
        "a piece of log that was stored again and had grown",
        "a run whose first piece drops those of an earlier run",
    )

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Part.handlers`."""
        return {StatementRun: self._ran, FlushFailed: self._failed, Committed: self._committed}

    def _ran(self, _happening: Happening, event: StatementRun) -> None:
        if event.name == "store_running" and event.jobs > 1:
            self._seen["lines of several running jobs stored at once"] += 1

    def _failed(self, *_: object) -> None:
        self._seen["a flush that failed"] += 1

    def _committed(self, _happening: Happening, event: Committed) -> None:
        for change in event.changes:
            match change.old, change.new:
                case LogRow(text=before), LogRow(text=after) if before != after:
                    if after.startswith(before):
                        self._seen["a piece of log that was stored again and had grown"] += 1
                case LogRow(), None:
                    self._seen["a run whose first piece drops those of an earlier run"] += 1
