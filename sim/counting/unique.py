"""What becomes of jobs with a key."""

from collections.abc import Mapping

from sim.counting.part import Part
from sim.database.rows import CompletedRow
from sim.happenings import Committed, Happening, KeptOut
from sim.oracles.base import Handler
from sim.oracles.facts import replaced_by
from trioworker.events import Event


class Keys(Part):
    """What becomes of jobs with a key."""

    states = (
        "a job kept out by another with its key",
        "a debounced job that another one replaces",
        "a unique job that another one replaces",
    )

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Part.handlers`."""
        return {Committed: self._committed, KeptOut: self._kept_out}

    def _kept_out(self, _happening: Happening, _event: KeptOut) -> None:
        self._seen["a job kept out by another with its key"] += 1

    def _committed(self, _happening: Happening, event: Committed) -> None:
        for row in (change.new for change in event.changes if change.old is None):
            if isinstance(row, CompletedRow) and replaced_by(row) is not None:
                options = self._facts.jobs[row.id].options or ""
                sort = "debounced" if '"debounce"' in options else "unique"
                self._seen[f"a {sort} job that another one replaces"] += 1
