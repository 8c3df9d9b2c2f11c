"""What jobs hand over, and what becomes of it."""

from collections import Counter
from collections.abc import Mapping
from uuid import UUID

from sim.counting.part import Part
from sim.database.rows import CompletedRow, EffectRow
from sim.happenings import Committed, Happening
from sim.oracles.base import Handler
from sim.oracles.facts import Facts
from trioworker.events import CommitFailed, Event
from trioworker.store.postgres.users import HANDED_OVER


class HandingOver(Part):
    """What jobs hand over, and what becomes of it."""

    states = (
        "effects of several jobs in one commit",
        "a statement of a job that is refused",
        "effects of a job after a commit that failed",
    )

    def __init__(self, facts: Facts, seen: Counter[str]) -> None:
        super().__init__(facts, seen)
        self._failed: set[UUID] = set()

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Part.handlers`."""
        return {CommitFailed: self._commit_failed, Committed: self._committed}

    def _commit_failed(self, _happening: Happening, event: CommitFailed) -> None:
        self._failed.update(event.jobs)

    def _committed(self, _happening: Happening, event: Committed) -> None:
        effects = {c.new.job for c in event.changes if isinstance(c.new, EffectRow)}
        if len(effects) > 1:
            self._seen["effects of several jobs in one commit"] += 1
        if not self._failed.isdisjoint(effects):
            self._seen["effects of a job after a commit that failed"] += 1
        for change in event.changes:
            if isinstance(change.new, CompletedRow) and HANDED_OVER in (change.new.error or ""):
                self._seen["a statement of a job that is refused"] += 1
