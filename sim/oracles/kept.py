"""What is promised of flows whose steps share a worker: no other one runs any of them."""

from collections.abc import Mapping
from uuid import UUID

from sim.database.rows import FlowStateRow
from sim.happenings import BodyStarted, CommitLost, Committed, Happening
from sim.oracles.base import Handler, Oracle
from sim.oracles.facts import Facts
from sim.oracles.flows import step_of
from sim.plan import Plan
from trioworker.events import Event


class KeptTogether(Oracle):
    """Of a flow that keeps to one worker every step is run by that one, which has its folder.

    A flow that begins anew, after its worker is gone, may keep to another. Allowed: what runs on
    when its flow is over.
    """

    name = "kept together"

    def __init__(self, plan: Plan, facts: Facts) -> None:
        super().__init__(plan, facts)
        self._keepers: dict[UUID, UUID] = {}

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {Committed: self._committed, CommitLost: self._committed, BodyStarted: self._begins}

    def _committed(self, _happening: Happening, event: Committed | CommitLost) -> None:
        for change in event.changes:
            if isinstance(row := change.new or change.old, FlowStateRow):
                self._keepers.pop(row.id, None)
                if change.new is not None and row.worker is not None:
                    self._keepers[row.id] = row.worker

    def _begins(self, _happening: Happening, event: BodyStarted) -> None:
        step = step_of(self.facts, event.job) if self._keepers else None
        keeper = None if step is None else self._keepers.get(step.flow)
        if keeper not in (None, event.worker):
            self.find(f"worker {event.worker} runs job {event.job}, a step of a flow of {keeper}")
