"""Progress: of whom it is told, by whom it is stored, and that the newest of it stays."""

import json
from collections.abc import Mapping
from typing import NamedTuple
from uuid import UUID

from sim.database.rows import ClaimRow, CompletedRow, ProgressRow, Row
from sim.happenings import BodyStarted, CommitLost, Committed, Happening
from sim.oracles.base import Handler, Oracle
from sim.oracles.facts import Facts, Leaving
from sim.plan import CLIMB, Plan
from trioworker.events import Event
from trioworker.model.transitions import Place


class Teller(NamedTuple):
    """Who has told a progress: which execution of the job, of which attempt, out of which claim."""

    execution: int
    attempt: int
    claim: UUID

    @classmethod
    def of(cls, row: ProgressRow) -> "Teller":
        """As the note says."""
        execution, attempt, claim = row.note.split()
        return cls(int(execution), int(attempt), UUID(claim))


class ToldByItsOwn(Oracle):
    """Invariant 4: a progress that is stored was told by the very attempt that the job is at.

    And stored by the worker whose claim it is, while it runs or with its outcome. It never goes
    back, neither to an earlier attempt nor in what one execution told. A success comes with what it
    told last. Allowed: after a crash of the server a worker may have a job twice at the same
    attempt; which of the two tells then is not judged.
    """

    name = "told by its own"
    invariant = 4

    def __init__(self, plan: Plan, facts: Facts) -> None:
        super().__init__(plan, facts)
        self._climbing: set[UUID] = set()
        self._twice: set[UUID] = set()
        self._workers: dict[UUID, UUID] = {}
        self._stored: dict[UUID, ProgressRow] = {}

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {BodyStarted: self._starts, Committed: self._committed, CommitLost: self._lost}

    def _starts(self, _happening: Happening, event: BodyStarted) -> None:
        if event.path == CLIMB:
            self._climbing.add(event.job)

    def _lost(self, *_: object) -> None:
        self._twice.update(move.job for move in self.facts.moves)

    def _committed(self, happening: Happening, event: Committed) -> None:
        leaving = {one.job: one for one in self.facts.outcomes}
        for change in event.changes:
            if isinstance(claim := change.new, ClaimRow):
                self._workers[claim.id] = claim.worker
            elif isinstance(row := change.new, ProgressRow):
                self._told(happening.actor, row, leaving.get(row.id))
                self._goes_on(change.old, row)
                self._stored[row.id] = row
        for one in leaving.values():
            if one.job in self._climbing and one.job not in self._twice:
                self._ended(one)

    def _told(self, actor: str, row: ProgressRow, leaving: Leaving | None) -> None:
        teller = Teller.of(row)
        worker = self._workers[teller.claim]
        stand = self.facts.stands.get(row.id) if leaving is None else leaving.old
        if teller.attempt != row.attempt:
            self.find(f"attempt {teller.attempt} of job {row.id} told that of {row.attempt}")
        elif self.facts.actors.get(worker) != actor:
            self.find(f"{actor} stored the progress of job {row.id}, which {worker} has run")
        elif stand is None or stand.place is not Place.CLAIMED:
            self.find(f"the progress of job {row.id} was stored while nobody had it")
        elif (stand.worker, stand.attempt) != (worker, row.attempt):
            self.find(f"{actor} stored the progress of job {row.id}, which it has no more")

    def _goes_on(self, old: Row | None, row: ProgressRow) -> None:
        if not isinstance(old, ProgressRow):
            return
        back = old.note == row.note and old.fraction > row.fraction
        if back or old.attempt > row.attempt:
            self.find(f"the progress of job {row.id} has gone back")

    def _ended(self, leaving: Leaving) -> None:
        done = leaving.new.row
        if not isinstance(done, CompletedRow) or done.status != "success":
            return
        row = self._stored.get(done.id)
        execution = json.loads(done.result or "{}").get("execution")
        if row is None or (Teller.of(row).execution, row.fraction) != (execution, 1.0):
            self.find(f"job {done.id} was stored without the progress that it told last")
