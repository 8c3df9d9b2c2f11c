"""More of what `sim.counters` counts: what a worker has in its hands when something befalls it."""

from collections import Counter
from collections.abc import Mapping
from uuid import UUID

from sim.counting.part import Part
from sim.happenings import Committed, Happening, WorkerKilled
from sim.oracles.base import Handler
from sim.oracles.facts import Facts
from trioworker.events import BatchPulled, BatchStored, CommitFailed, Event, JobEnded


class InHand(Part):
    """Jobs and outcomes that a worker has in hand, and what it knows of them."""

    states = (
        "a second pull before any job has ended",
        "a crash between a commit and its reply",
        "a single outcome stored after failures of two sorts",
    )

    def __init__(self, facts: Facts, seen: Counter[str]) -> None:
        super().__init__(facts, seen)
        self._have_pulled: set[UUID] = set()
        self._know_their_pace: set[UUID] = set()
        self._unheard: Counter[UUID] = Counter()
        self._failures: dict[tuple[UUID, UUID], set[str]] = {}

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Part.handlers`."""
        return {
            BatchPulled: self._pulled,
            JobEnded: self._ended,
            Committed: self._committed,
            CommitFailed: self._failed,
            BatchStored: self._stored,
            WorkerKilled: self._killed,
        }

    def _pulled(self, _happening: Happening, event: BatchPulled) -> None:
        if event.worker in self._have_pulled - self._know_their_pace:
            self._seen["a second pull before any job has ended"] += 1
        self._have_pulled.add(event.worker)

    def _ended(self, _happening: Happening, event: JobEnded) -> None:
        self._know_their_pace.add(event.worker)

    def _committed(self, *_: object) -> None:
        self._unheard.update(outcome.worker for outcome in self._facts.outcomes)

    def _failed(self, _happening: Happening, event: CommitFailed) -> None:
        if len(event.jobs) == 1:
            self._failures.setdefault((event.worker, event.jobs[0]), set()).add(event.failure)

    def _stored(self, _happening: Happening, event: BatchStored) -> None:
        self._unheard[event.worker] -= event.stored
        failures = self._failures.pop((event.worker, event.jobs[0]), ())
        if len(failures) > 1 and not event.lost:
            self._seen["a single outcome stored after failures of two sorts"] += 1

    def _killed(self, happening: Happening, _event: object) -> None:
        life = self._facts.processes[happening.actor].life
        if life is not None and self._unheard[life] > 0:
            self._seen["a crash between a commit and its reply"] += 1
