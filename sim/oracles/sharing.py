"""What is promised of steps that share a worker: it alone runs them, and they end with it."""

from collections.abc import Mapping
from uuid import UUID

from sim.database.rows import ClaimRow, CompletedRow
from sim.happenings import BodyStarted, Committed, Happening
from sim.oracles.base import Handler, Oracle
from sim.oracles.facts import Facts
from sim.oracles.retries import options_of
from trioworker.events import Event
from trioworker.model.tags import worker_of
from trioworker.model.transitions import Place
from trioworker.store.postgres.flows import STRANDED
from trioworker.store.postgres.lost_flows import FLOW_LOST


def shares(facts: Facts, job: UUID) -> UUID | None:
    """The flow with whose steps a job shares a worker, if it does."""
    step = options_of(facts, job).step
    return None if step is None else step.shared


def is_stranded(facts: Facts, row: CompletedRow) -> bool:
    """Whether a step ended because its worker is gone."""
    return shares(facts, row.id) is not None and _says(row, STRANDED.error.message)


def is_lost(facts: Facts, row: CompletedRow) -> bool:
    """Whether a flow ended because the worker of its steps is gone."""
    return is_stranded(facts, row) or _says(row, FLOW_LOST.error.message)


def _says(row: CompletedRow, message: str) -> bool:
    return row.status == "failure" and message in (row.error or "")


class OneWorker(Oracle):
    """Steps that share a worker stand in its claims alone, and nobody else begins one.

    When it is gone, and not before, they end as failures, and the flow with them: or it is ready
    once more, when none of its steps stands in anybody's claim.
    """

    name = "one worker"

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {Committed: self._committed, BodyStarted: self._begins}

    def _committed(self, _happening: Happening, event: Committed) -> None:
        for change in event.changes:
            row = change.new
            if isinstance(row, ClaimRow) and change.old is None:
                for job in row.ids:
                    self._check(job, row.worker)
            if isinstance(row, CompletedRow) and change.old is None and is_lost(self.facts, row):
                self._ended(row)
        for move in self.facts.moves:
            if move.places == (Place.FLOW, Place.READY):
                self._begins_anew(move.job)

    def _begins(self, _happening: Happening, event: BodyStarted) -> None:
        self._check(event.job, event.worker)

    def _check(self, job: UUID, worker: UUID) -> None:
        row = self.facts.known.get(job)
        if row is None or shares(self.facts, job) is None:
            return
        if worker_of(row.tag) != worker:
            self.find(f"step {job} of worker {worker_of(row.tag)} is in the hands of {worker}")

    def _ended(self, row: CompletedRow) -> None:
        job = self.facts.known[row.id]
        worker = worker_of(job.tag)
        if worker is not None and not self.facts.is_dead(worker):
            self.find(f"step {row.id} was given up, and its worker {worker} lives")

    def _begins_anew(self, flow: UUID) -> None:
        for claim in self.facts.claims.values():
            for job in claim.ids:
                if shares(self.facts, job) == flow:
                    self.find(f"flow {flow} is begun anew while {claim.worker} has its step {job}")
