"""Failed commits, and what became of their jobs."""

from collections import Counter
from collections.abc import Mapping
from typing import Final
from uuid import UUID

from sim.counting.part import Part
from sim.happenings import (
    Committed,
    Happening,
)
from sim.oracles.base import Handler
from sim.oracles.facts import Facts
from sim.oracles.fallback import Group
from trioworker.events import (
    BatchStored,
    CommitFailed,
    Event,
    OutcomeRefused,
)
from trioworker.model.failures import Failure, Step
from trioworker.model.transitions import Place

IN_BETWEEN: Final = 3
"""A batch needs this many jobs for one to be in the middle."""


class Commits(Part):
    """Failed commits and what became of their jobs."""

    states = (
        "an ambiguous commit found stored",
        "an ambiguous commit stored by the retry",
        "a batch tried again as a whole and stored",
        "a batch divided because it was refused",
        "a batch divided because it failed twice",
        "a poison in the middle of a per-job fallback",
        "a poison found by halving",
        "a batch of poison only",
        "a poison on its own",
        "an outcome of a worker without its claim dropped",
        "outcomes back to ready: retried",
        "outcomes back to ready: snoozed or interrupted",
    )

    def __init__(self, facts: Facts, seen: Counter[str]) -> None:
        super().__init__(facts, seen)
        self._failed_as: dict[tuple[UUID, Group], list[CommitFailed]] = {}
        self._in_doubt: dict[tuple[UUID, Group], bool] = {}
        self._stored_by: set[tuple[UUID, UUID]] = set()
        self._divided: dict[tuple[UUID, UUID], list[Group]] = {}
        self._refused: dict[tuple[UUID, Group], set[UUID]] = {}

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Part.handlers`."""
        return {
            Committed: self._committed,
            CommitFailed: self._failed,
            BatchStored: self._stored,
            OutcomeRefused: self._was_refused,
        }

    def _committed(self, *_: object) -> None:
        for job, worker, old, new in self._facts.outcomes:
            self._stored_by.add((worker, job))
            if new.place is Place.READY:
                how = "retried" if new.attempt > old.attempt else "snoozed or interrupted"
                self._seen[f"outcomes back to ready: {how}"] += 1

    def _failed(self, _happening: Happening, event: CommitFailed) -> None:
        group = tuple(event.jobs)
        self._failed_as.setdefault((event.worker, group), []).append(event)
        if event.ambiguous:
            stored = all((event.worker, job) in self._stored_by for job in group)
            self._in_doubt[event.worker, group] = stored
        if event.step == Step.DIVIDE:
            why = "was refused" if event.failure == Failure.REFUSED else "failed twice"
            self._seen[f"a batch divided because it {why}"] += 1
            for job in group:
                self._divided.setdefault((event.worker, job), []).append(group)

    def _stored(self, _happening: Happening, event: BatchStored) -> None:
        key = (event.worker, tuple(event.jobs))
        if event.lost:
            self._seen["an outcome of a worker without its claim dropped"] += 1
        failures = self._failed_as.pop(key, ())
        if failures and len(event.jobs) > 1:
            self._seen["a batch tried again as a whole and stored"] += 1
        in_doubt = self._in_doubt.pop(key, None)
        if in_doubt is not None and not event.lost:
            how = "found stored" if in_doubt else "stored by the retry"
            self._seen[f"an ambiguous commit {how}"] += 1
        for job in event.jobs:
            self._divided.pop((event.worker, job), None)

    def _was_refused(self, _happening: Happening, event: OutcomeRefused) -> None:
        groups = self._divided.get((event.worker, event.job))
        if groups is None:
            self._seen["a poison on its own"] += 1
            return
        if len(groups) > 1:
            self._seen["a poison found by halving"] += 1
        elif len(groups[0]) >= IN_BETWEEN and event.job not in (groups[0][0], groups[0][-1]):
            self._seen["a poison in the middle of a per-job fallback"] += 1
        refused = self._refused.setdefault((event.worker, groups[0]), set())
        refused.add(event.job)
        if len(refused) == len(groups[0]):
            self._seen["a batch of poison only"] += 1
