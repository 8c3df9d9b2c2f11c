"""Unique keys: no two jobs hold one at once, and one that is free keeps nobody out."""

import json
from collections.abc import Mapping
from datetime import timedelta
from uuid import UUID

from sim.database.rows import JobRow
from sim.happenings import Committed, Happening, KeptOut
from sim.oracles.base import Handler, Oracle
from sim.oracles.facts import Facts
from sim.plan import Plan
from trioworker.events import Event
from trioworker.model.transitions import Place

UNSTARTED = (Place.READY, Place.WAITING)


def unique_of(row: JobRow) -> tuple[str, str, float | None] | None:
    """The unique key that a job asks for, during what, and for how many seconds."""
    unique = (json.loads(row.options) if row.options else {}).get("unique")
    if unique is None:
        return None
    return unique["key"], unique.get("during", "unfinished"), unique.get("period_s")


class OneHolder(Oracle):
    """Whoever is stored with a key comes after the job before him, as that one has said.

    A job that has been claimed once may be queued again: who came in between was let in rightly.
    A period is over by the server's clock: once that was set it is not judged here.
    """

    name = "one holder"

    def __init__(self, plan: Plan, facts: Facts) -> None:
        super().__init__(plan, facts)
        self._last: dict[str, JobRow] = {}
        self._begun: set[UUID] = set()

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {Committed: self._committed}

    def _committed(self, _happening: Happening, event: Committed) -> None:
        for move in self.facts.moves:
            if move.new is not None and move.new.place is Place.CLAIMED:
                self._begun.add(move.job)
        new = (change.new for change in event.changes if change.old is None)
        for row in new:
            if isinstance(row, JobRow) and (unique := unique_of(row)) is not None:
                before = self._last.get(unique[0])
                self._last[unique[0]] = row
                if before is not None and self._is_held(before, row):
                    self.find(f"job {row.id} has the key {unique[0]}, which job {before.id} holds")

    def _is_held(self, before: JobRow, row: JobRow) -> bool:
        """Whether the job `before` keeps `row` out."""
        stand, unique = self.facts.stands.get(before.id), unique_of(before)
        assert unique is not None
        _, during, period_s = unique
        if stand is None or self._was_replaced(before.id):
            return False
        if period_s is not None:
            over = row.created_at >= before.created_at + timedelta(seconds=period_s)
            return not over and not self.facts.jumps
        if during == "queued":
            return stand.place in UNSTARTED and before.id not in self._begun
        return stand.place is not Place.COMPLETED

    def _was_replaced(self, job: UUID) -> bool:
        """Whether this very commit has ended it."""
        return any(
            move.job == job and move.new is not None and move.new.place is Place.COMPLETED
            for move in self.facts.moves
        )


class FreeKeys(Oracle):
    """Nobody is kept out by a job that held the key no more when he asked.

    A period is over by the server's clock, which may be set: it is not judged here.
    """

    name = "free keys"

    def __init__(self, plan: Plan, facts: Facts) -> None:
        super().__init__(plan, facts)
        self._left_s: dict[UUID, float] = {}
        self._ended_s: dict[UUID, float] = {}

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {Committed: self._committed, KeptOut: self._kept_out}

    def _committed(self, _happening: Happening, _event: Committed) -> None:
        for move in self.facts.moves:
            old, new = move.places
            if old in UNSTARTED and new not in UNSTARTED:
                self._left_s[move.job] = self.facts.now_s
            if new is Place.COMPLETED:
                self._ended_s[move.job] = self.facts.now_s

    def _kept_out(self, _happening: Happening, event: KeptOut) -> None:
        row = self.facts.known.get(event.first)
        if row is None:
            self.find(f"job {event.job} is kept out by job {event.first}, which never was")
            return
        unique, stand = unique_of(row), self.facts.stands.get(event.first)
        if unique is None or unique[1] == "period" or stand is None:
            return
        since = self._ended_s if unique[1] == "unfinished" else self._left_s
        free = stand.place is Place.COMPLETED or (
            unique[1] == "queued" and stand.place not in UNSTARTED
        )
        if free and since.get(event.first, event.asked_s) < event.asked_s:
            self.find(f"job {event.job} is kept out by job {event.first}, which holds no key")
