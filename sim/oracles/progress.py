"""Progress: of whom it is told, by whom it is stored, and that the newest of it stays."""

from collections.abc import Mapping
from uuid import UUID

from sim.database.rows import CompletedRow, ProgressRow, Row
from sim.happenings import BodyStarted, Committed, Happening
from sim.oracles.base import Handler, Oracle
from sim.oracles.facts import Attempt, Facts, Leaving
from sim.plan import CLIMB, Plan
from trioworker.events import Event
from trioworker.model.transitions import Place


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
        self._executions: dict[UUID, list[Attempt]] = {}
        self._paths: dict[UUID, str] = {}
        self._stored: dict[UUID, ProgressRow] = {}

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {BodyStarted: self._starts, Committed: self._committed}

    def _starts(self, _happening: Happening, event: BodyStarted) -> None:
        self._paths[event.job] = event.path
        attempt = (event.worker, event.job, event.attempt)
        self._executions.setdefault(event.job, []).append(attempt)

    def _committed(self, happening: Happening, event: Committed) -> None:
        leaving = {one.job: one for one in self.facts.outcomes}
        for change in event.changes:
            if isinstance(row := change.new, ProgressRow):
                self._told(happening.actor, row, leaving.get(row.id))
                self._goes_on(change.old, row)
                self._stored[row.id] = row
        for one in leaving.values():
            if isinstance(one.new.row, CompletedRow) and one.new.row.status == "success":
                self._ended(one)

    def _told(self, actor: str, row: ProgressRow, leaving: Leaving | None) -> None:
        execution = int(row.note.split()[1])
        worker, job, attempt = self._executions[row.id][execution - 1]
        stand = self.facts.stands.get(job) if leaving is None else leaving.old
        if attempt != row.attempt:
            self.find(f"attempt {attempt} of job {job} told the progress of attempt {row.attempt}")
        elif self.facts.actors.get(worker) != actor:
            self.find(f"{actor} stored the progress of job {job}, which {worker} has run")
        elif stand is None or stand.place is not Place.CLAIMED:
            self.find(f"the progress of job {job} was stored while nobody had it")
        elif (stand.worker, stand.attempt) != (worker, attempt):
            self.find(f"{actor} stored the progress of job {job}, which it has no more")

    def _goes_on(self, old: Row | None, row: ProgressRow) -> None:
        if not isinstance(old, ProgressRow):
            return
        back = old.note == row.note and old.fraction > row.fraction
        if back or old.attempt > row.attempt:
            self.find(f"the progress of job {row.id} has gone back")

    def _ended(self, leaving: Leaving) -> None:
        job = leaving.job
        once = self._executions.get(job, []).count(leaving.attempt) == 1
        if self._paths.get(job) != CLIMB or not once:
            return
        row = self._stored.get(job)
        if row is None or (row.attempt, row.fraction) != (leaving.old.attempt, 1.0):
            self.find(f"job {job} was stored without the progress that it told last")
