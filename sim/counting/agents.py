"""What becomes of agents, of what they ask and of those who serve them."""

from collections import Counter
from collections.abc import Mapping
from typing import Final
from uuid import UUID

from sim.counting.part import Part
from sim.happenings import Answered, ApiTurned, Committed, Happening, Overtaken
from sim.intruder import NAME as INTRUDER
from sim.oracles.base import Handler
from sim.oracles.facts import LONG_AGO_S, Facts
from trioworker.events import (
    BatchAdopted,
    BatchPulled,
    BatchStored,
    CommitFailed,
    Event,
    LeaseTaken,
    PullFailed,
)
from trioworker.model.failures import Step

FORBIDDEN: Final = 403
AT_ONCE_S: Final = 0.1
LEASES: Final = 3


class Agents(Part):
    """What befalls agents and their servers."""

    states = (
        "a batch adopted by an agent whose pull had no reply",
        "a commit that an agent repeats, found stored",
        "a batch of an agent divided",
        "a request overtaken by a later one",
        "a hint that woke an agent",
        "an agent's lease lost while a server was away",
        "a server of agents gone while they held jobs",
        "jobs stored through a server that was not there when they were pulled",
        "an intruder refused",
        "a job that not every agent takes",
    )

    def __init__(self, facts: Facts, seen: Counter[str]) -> None:
        super().__init__(facts, seen)
        self._lost_pulls: set[UUID] = set()
        self._in_doubt: dict[UUID, tuple[UUID, ...]] = {}
        self._stored_by: set[tuple[UUID, UUID]] = set()
        self._hinted_s: dict[str, float] = {}
        self._away_s = LONG_AGO_S
        self._born_s = LONG_AGO_S
        self._pulled_s: dict[tuple[UUID, UUID], float] = {}

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Part.handlers`."""
        return {
            Answered: self._answered,
            ApiTurned: self._turned,
            BatchAdopted: self._adopted,
            BatchPulled: self._pulled,
            BatchStored: self._stored,
            CommitFailed: self._commit_failed,
            Committed: self._committed,
            LeaseTaken: self._taken,
            Overtaken: self._overtaken,
            PullFailed: self._pull_failed,
        }

    def _answered(self, happening: Happening, event: Answered) -> None:
        if event.hint:
            self._hinted_s[happening.actor] = happening.at_s
        if happening.actor == INTRUDER and event.status == FORBIDDEN:
            self._seen["an intruder refused"] += 1

    def _turned(self, happening: Happening, event: ApiTurned) -> None:
        if event.to in ("killed", "paused", "exited"):
            self._away_s = happening.at_s
        if event.to == "born":
            self._born_s = happening.at_s
        gone = event.to in ("killed", "exited")
        if gone and any(self._facts.is_agent(each.worker) for each in self._facts.claims.values()):
            self._seen["a server of agents gone while they held jobs"] += 1

    def _pull_failed(self, _happening: Happening, event: PullFailed) -> None:
        if event.ambiguous and self._facts.is_agent(event.worker):
            self._lost_pulls.add(event.worker)

    def _adopted(self, _happening: Happening, event: BatchAdopted) -> None:
        if event.worker in self._lost_pulls:
            self._lost_pulls.discard(event.worker)
            self._seen["a batch adopted by an agent whose pull had no reply"] += 1

    def _pulled(self, happening: Happening, event: BatchPulled) -> None:
        hinted_s = self._hinted_s.pop(happening.actor, LONG_AGO_S)
        if happening.at_s - hinted_s < AT_ONCE_S:
            self._seen["a hint that woke an agent"] += 1
        if not self._facts.is_agent(event.worker):
            return
        self._pulled_s.update(((event.worker, job), happening.at_s) for job in event.jobs)
        takers = [row for row in self._facts.workers.values() if row.token is not None]
        known = self._facts.jobs
        tags = {known[job].tag for job in event.jobs if job in known}
        if any(tags - {*row.tags} for row in takers):
            self._seen["a job that not every agent takes"] += 1

    def _commit_failed(self, _happening: Happening, event: CommitFailed) -> None:
        if not self._facts.is_agent(event.worker):
            return
        if event.step == Step.DIVIDE:
            self._seen["a batch of an agent divided"] += 1
        if event.ambiguous and all((event.worker, job) in self._stored_by for job in event.jobs):
            self._in_doubt[event.worker] = tuple(event.jobs)

    def _committed(self, *_: object) -> None:
        self._stored_by.update((outcome.worker, outcome.job) for outcome in self._facts.outcomes)

    def _stored(self, happening: Happening, event: BatchStored) -> None:
        if self._in_doubt.pop(event.worker, None) == tuple(event.jobs) and not event.lost:
            self._seen["a commit that an agent repeats, found stored"] += 1
        pulled_s = [self._pulled_s.pop((event.worker, job), happening.at_s) for job in event.jobs]
        if event.stored and min(pulled_s) < self._born_s:
            self._seen["jobs stored through a server that was not there when they were pulled"] += 1

    def _taken(self, happening: Happening, event: LeaseTaken) -> None:
        row = self._facts.workers.get(event.worker)
        if row is None or row.token is None:
            return
        if happening.at_s - self._away_s < LEASES * row.lease_s:
            self._seen["an agent's lease lost while a server was away"] += 1

    def _overtaken(self, *_: object) -> None:
        self._seen["a request overtaken by a later one"] += 1
