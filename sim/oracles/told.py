"""What workers say of their batches, against what the tables say."""

from collections import Counter
from collections.abc import Mapping, Sequence
from uuid import UUID

from sim.database.rows import ClaimRow, JobRow
from sim.happenings import Committed, Happening
from sim.oracles.base import Handler, Oracle
from sim.oracles.facts import Facts
from sim.oracles.retries import next_attempt
from sim.plan import Plan
from trioworker.events import (
    BatchAdopted,
    BatchPulled,
    BatchStored,
    CommitFailed,
    Event,
    OutcomeAbandoned,
    OutcomeResumed,
)
from trioworker.model.transitions import Place


class ToldRight(Oracle):
    """What a worker says of its batches is what the tables say.

    What was pulled is what the claim has. What is reported stored was stored by this worker, and
    what is reported lost was not. Allowed: an outcome that went back to ready at the same attempt,
    in a commit whose reply was lost, is reported lost, for it leaves no trace to find. So is one
    whose job was deleted since. And when a crash of the server has put a job into the same hands
    twice, both outcomes are reported stored: an agent, or who does not know whether a commit took
    effect, finds one, and cannot tell which.
    """

    name = "told right"

    def __init__(self, plan: Plan, facts: Facts) -> None:
        super().__init__(plan, facts)
        self._stored: Counter[tuple[UUID, UUID]] = Counter()
        self._traced: Counter[tuple[UUID, UUID]] = Counter()
        self._ever: set[tuple[UUID, UUID]] = set()
        self._in_hand: Counter[tuple[UUID, UUID]] = Counter()
        self._twice: set[tuple[UUID, UUID]] = set()
        self._unknown: set[tuple[UUID, UUID]] = set()
        self._claimed: dict[UUID, Sequence[UUID]] = {}

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {
            Committed: self._committed,
            BatchPulled: self._pulled,
            BatchAdopted: self._adopted,
            BatchStored: self._told_stored,
            CommitFailed: self._failed,
            OutcomeAbandoned: self._abandoned,
            OutcomeResumed: self._resumed,
        }

    def _failed(self, _happening: Happening, event: CommitFailed) -> None:
        if event.ambiguous:
            self._unknown.update((event.worker, job) for job in event.jobs)

    def _committed(self, _happening: Happening, event: Committed) -> None:
        for change in event.changes:
            if isinstance(change.new, ClaimRow) and change.old is None:
                self._claimed[change.new.id] = change.new.ids
            elif isinstance(change.old, JobRow) and change.new is None:
                self._forget_traces(change.old.id)
        for leaving in self.facts.outcomes:
            key = (leaving.worker, leaving.job)
            self._stored[key] += 1
            self._ever.add(key)
            if leaving.new.place is Place.COMPLETED or next_attempt(leaving):
                self._traced[key] += 1

    def _forget_traces(self, job: UUID) -> None:
        for key in self._traced:
            if key[1] == job:
                self._traced[key] = 0

    def _pulled(self, _happening: Happening, event: BatchPulled) -> None:
        if sorted(event.jobs) != sorted(self._claimed.get(event.claim, ())):
            self.find(f"a pull was reported with other jobs than claim {event.claim} has")
        for key in ((event.worker, job) for job in event.jobs):
            self._in_hand[key] += 1
            if self._in_hand[key] > 1:
                self._twice.add(key)

    def _adopted(self, _happening: Happening, event: BatchAdopted) -> None:
        self._in_hand.update((event.worker, job) for job in event.jobs)

    def _told_stored(self, _happening: Happening, event: BatchStored) -> None:
        lost = set(event.lost)
        for job in event.jobs:
            key = (event.worker, job)
            self._in_hand[key] -= 1
            if job in lost:
                self._told_lost(key)
                continue
            self._stored[key] -= 1
            self._traced[key] = min(self._traced[key], self._stored[key])
            if self._stored[key] >= 0:
                continue
            self._stored[key] = 0
            found = self.facts.is_agent(event.worker) or key in self._twice & self._unknown
            if not (found and key in self._ever):
                self.find(f"job {job} was reported stored and was not")

    def _told_lost(self, key: tuple[UUID, UUID]) -> None:
        """The same job may be in hand twice, after a crash of the server: then wait for both."""
        if self._stored[key] > self._traced[key]:
            self._stored[key] -= 1
        elif not self._in_hand[key] and self._traced[key]:
            self.find(f"job {key[1]} was reported lost and was stored")

    def _abandoned(self, _happening: Happening, event: OutcomeAbandoned) -> None:
        self._in_hand[event.worker, event.job] -= 1

    def _resumed(self, _happening: Happening, event: OutcomeResumed) -> None:
        self._in_hand[event.worker, event.job] += 1
