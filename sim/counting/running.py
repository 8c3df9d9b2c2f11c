"""What is stored of jobs while they run."""

from collections.abc import Mapping

from sim.counting.part import Part
from sim.database.rows import LogRow, ProgressRow
from sim.happenings import Committed, Happening
from sim.oracles.base import Handler
from trioworker.events import Event, FlushFailed, StatementRun


class Running(Part):
    """What is stored of jobs while they run."""

    states = (
        "lines of several running jobs stored at once",
        "a flush that failed",
        "a run whose first piece drops those of an earlier run",
        "progress stored while its job runs",
        "progress stored with the outcome",
        "progress of an attempt in the place of an earlier one's",
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
        ending = {leaving.job for leaving in self._facts.outcomes}
        for change in event.changes:
            match change.old, change.new:
                case before, ProgressRow() as row:
                    how = "with the outcome" if row.id in ending else "while its job runs"
                    self._seen[f"progress stored {how}"] += 1
                    if isinstance(before, ProgressRow) and before.attempt < row.attempt:
                        self._seen["progress of an attempt in the place of an earlier one's"] += 1
                case LogRow(), None:
                    self._seen["a run whose first piece drops those of an earlier run"] += 1
