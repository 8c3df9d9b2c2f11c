"""Who has nothing to do, and since when: what two oracles about waiting jobs both have to know."""

from collections import Counter
from collections.abc import Iterator, Mapping
from uuid import UUID

from sim.happenings import Happening
from sim.oracles.base import Handler
from sim.oracles.facts import Facts
from trioworker.events import (
    BatchAdopted,
    BatchPulled,
    BatchStored,
    Event,
    LeaseTaken,
    OutcomeAbandoned,
    OutcomeResumed,
    WorkerStarted,
)


class Idle:
    """The workers that live, are not stopping and hold no job."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._in_hand: Counter[UUID] = Counter()
        self._since_s: dict[UUID, float] = {}

    def handlers(self) -> Mapping[type[Event], Handler]:
        """What it has to see; for the `handlers` of an oracle."""
        return {
            WorkerStarted: self._started,
            BatchPulled: self._took,
            BatchAdopted: self._took,
            BatchStored: self._stored,
            OutcomeAbandoned: self._abandoned,
            OutcomeResumed: self._resumed,
            LeaseTaken: self._over,
        }

    def takers(self, tag: str, *, since_s: float) -> Iterator[UUID]:
        """Those who take jobs of the tag and have had nothing to do since then, or longer."""
        for worker, idle_since_s in self._since_s.items():
            process = self._facts.process_of(worker)
            if process is None or not process.alive or process.stops or process.life != worker:
                continue
            if idle_since_s <= since_s and self._facts.takes(worker, tag):
                yield worker

    def _started(self, _happening: Happening, event: WorkerStarted) -> None:
        self._since_s[event.worker] = self._facts.now_s

    def _took(self, _happening: Happening, event: BatchPulled | BatchAdopted) -> None:
        self._in_hand[event.worker] += len(event.jobs)
        self._since_s.pop(event.worker, None)

    def _stored(self, _happening: Happening, event: BatchStored) -> None:
        self._leaves(event.worker, len(event.jobs))

    def _abandoned(self, _happening: Happening, event: OutcomeAbandoned) -> None:
        self._leaves(event.worker, 1)

    def _resumed(self, _happening: Happening, event: OutcomeResumed) -> None:
        self._in_hand[event.worker] += 1
        self._since_s.pop(event.worker, None)

    def _leaves(self, worker: UUID, jobs: int) -> None:
        self._in_hand[worker] -= jobs
        if not self._in_hand[worker]:
            self._since_s[worker] = self._facts.now_s

    def _over(self, _happening: Happening, event: LeaseTaken) -> None:
        self._since_s.pop(event.worker, None)
