"""Who follows what jobs write, and what happens to them meanwhile."""

from collections import Counter
from collections.abc import Mapping
from uuid import UUID

from sim.counting.part import Part
from sim.database.rows import CompletedRow, LogRow
from sim.happenings import Committed, Happening, LogFollowed, LogHeard
from sim.oracles.base import Handler
from sim.oracles.facts import Facts
from trioworker.events import Event


class Following(Part):
    """Who follows what jobs write, and what happens to them meanwhile."""

    states = (
        "a log followed while it is written",
        "a log followed over several attempts",
        "a log followed that is written anew",
        "a job deleted while its log is followed",
    )

    def __init__(self, facts: Facts, seen: Counter[str]) -> None:
        super().__init__(facts, seen)
        self._heard: dict[UUID, list[int]] = {}

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Part.handlers`."""
        return {LogHeard: self._hears, LogFollowed: self._followed, Committed: self._committed}

    def _hears(self, _happening: Happening, event: LogHeard) -> None:
        self._heard.setdefault(event.job, []).append(event.attempt)
        stand = self._facts.stands.get(event.job)
        if stand is not None and not isinstance(stand.row, CompletedRow):
            self._seen["a log followed while it is written"] += 1

    def _followed(self, _happening: Happening, event: LogFollowed) -> None:
        if len(set(self._heard.pop(event.job, ()))) > 1:
            self._seen["a log followed over several attempts"] += 1

    def _committed(self, _happening: Happening, event: Committed) -> None:
        for change in event.changes:
            old, new = change.old, change.new
            if not isinstance(old, LogRow) or not isinstance(new, LogRow):
                continue
            if old.id in self._heard and not new.text.startswith(old.text):
                self._seen["a log followed that is written anew"] += 1
        for _job in self._facts.deleted & self._heard.keys():
            self._seen["a job deleted while its log is followed"] += 1
