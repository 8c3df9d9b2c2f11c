"""Who follows what a job writes hears all of it."""

from collections.abc import Mapping
from uuid import UUID

from sim.database.rows import LogRow
from sim.happenings import Committed, Happening, LogFollowed, LogHeard
from sim.oracles.base import Handler, Oracle
from sim.oracles.facts import Facts
from sim.plan import Plan
from trioworker.events import Event
from trioworker.model.transitions import Place

Texts = Mapping[int, str]


class HeardOut(Oracle):
    """Whoever follows a job to its end has heard what each attempt wrote, as it is stored then.

    Allowed: what a run wrote that came again in the same attempt, before what the last one wrote.
    A job may end more than once, if somebody gives it a second chance: any of its ends will do.
    """

    name = "heard out"

    def __init__(self, plan: Plan, facts: Facts) -> None:
        super().__init__(plan, facts)
        self._pieces: dict[UUID, dict[tuple[int, int], str]] = {}
        self._anew: set[tuple[UUID, int]] = set()
        self._ends: dict[UUID, list[Texts]] = {}
        self._heard: dict[UUID, dict[int, str]] = {}

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {Committed: self._committed, LogHeard: self._hears, LogFollowed: self._followed}

    def _committed(self, _happening: Happening, event: Committed) -> None:
        for change in event.changes:
            if isinstance(old := change.old, LogRow):
                self._pieces[old.id].pop((old.attempt, old.chunk))
                grown = isinstance(change.new, LogRow) and change.new.text.startswith(old.text)
                if not grown:
                    self._anew.add((old.id, old.attempt))
            if isinstance(row := change.new, LogRow):
                self._pieces.setdefault(row.id, {})[row.attempt, row.chunk] = row.text
        for job, _old, new in self.facts.moves:
            if new is not None and new.place is Place.COMPLETED:
                self._ends.setdefault(job, []).append(self._texts(job))

    def _texts(self, job: UUID) -> Texts:
        texts: dict[int, str] = {}
        for (attempt, _chunk), text in sorted(self._pieces.get(job, {}).items()):
            texts[attempt] = texts.get(attempt, "") + text
        return texts

    def _hears(self, _happening: Happening, event: LogHeard) -> None:
        heard = self._heard.setdefault(event.job, {})
        heard[event.attempt] = heard.get(event.attempt, "") + event.text

    def _followed(self, _happening: Happening, event: LogFollowed) -> None:
        heard, ends = self._heard.get(event.job, {}), self._ends.get(event.job, ())
        if not any(self._is_all(event.job, heard, texts) for texts in ends):
            self.find(f"who followed job {event.job} has not heard just what it wrote")

    def _is_all(self, job: UUID, heard: Texts, texts: Texts) -> bool:
        return all(self._is_whole(job, attempt, heard, text) for attempt, text in texts.items())

    def _is_whole(self, job: UUID, attempt: int, heard: Texts, text: str) -> bool:
        said = heard.get(attempt, "")
        return said == text or ((job, attempt) in self._anew and said.endswith(text))
