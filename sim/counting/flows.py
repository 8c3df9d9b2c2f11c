"""How flows and approvals come to their ends."""

from collections import Counter
from collections.abc import Mapping
from typing import Final
from uuid import UUID

from sim.counting.part import Part
from sim.database.rows import CompletedRow, DecisionRow, FlowStateRow
from sim.happenings import Committed, Happening
from sim.oracles.base import Handler
from sim.oracles.facts import Facts, Move
from sim.oracles.flows import step_of
from trioworker.events import BatchHanded, CommitFailed, Event
from trioworker.model.transitions import Place

AT_ONCE_S: Final = 0.01
"""Whoever moves a flow so soon after another has perhaps waited for him."""
CLIENT: Final = "client"


class Flows(Part):
    """How flows and approvals come to their ends."""

    states = (
        "two workers that move one flow at once",
        "several steps of a flow that end in one commit",
        "a step of a flow reaped",
        "the end of a flow whose commit was ambiguous",
        "a nested flow that ends the one around it",
        "a flow cancelled while a step runs",
        "a flow cancelled by a sweep, for it had just begun",
        "a flow that is canceled with a step of it",
        "a flow that failed",
        "a flow run once more",
        "a step handed over with the commit of the one before",
        "a flow whose worker is gone fails",
        "a flow whose worker is gone begins anew",
        "an approval whose time ran out",
        "an approval that two people give",
        "an approval that is refused",
    )

    def __init__(self, facts: Facts, seen: Counter[str]) -> None:
        super().__init__(facts, seen)
        self._moved: dict[UUID, tuple[str, float]] = {}
        self._last_steps: set[UUID] = set()
        self._approvals: Counter[UUID] = Counter()
        self._steps: dict[UUID, set[UUID]] = {}

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Part.handlers`."""
        return {
            Committed: self._committed,
            CommitFailed: self._failed,
            BatchHanded: self._handed,
        }

    def _handed(self, _happening: Happening, event: BatchHanded) -> None:
        self._seen["a step handed over with the commit of the one before"] += len(event.jobs)

    def _failed(self, _happening: Happening, event: CommitFailed) -> None:
        ended = event.ambiguous and not self._last_steps.isdisjoint(event.jobs)
        self._seen["the end of a flow whose commit was ambiguous"] += ended

    def _committed(self, happening: Happening, event: Committed) -> None:
        if not self._facts.has_flows:
            return
        for change in event.changes:
            row = change.new or change.old
            if isinstance(row, FlowStateRow):
                self._move(row.id, happening.actor)
            elif isinstance(row, DecisionRow) and row.approved:
                self._approvals[row.job] += 1
        ends: Counter[UUID] = Counter()
        for move in self._facts.moves:
            step = step_of(self._facts, move.job)
            if step is not None:
                self._steps.setdefault(step.flow, set()).add(move.job)
                ends[step.flow] += move.new is not None and move.new.place is Place.COMPLETED
        self._seen["several steps of a flow that end in one commit"] += sum(
            count > 1 for count in ends.values()
        )
        reaped = (step_of(self._facts, leaving.job) for leaving in self._facts.reapings)
        self._seen["a step of a flow reaped"] += sum(step is not None for step in reaped)
        over = {m.job for m in self._facts.moves if m.places == (Place.FLOW, Place.COMPLETED)}
        for move in self._facts.moves:
            self._look(happening.actor, move, over)

    def _move(self, flow: UUID, actor: str) -> None:
        before, at_s = self._moved.get(flow, (actor, 0.0))
        soon = self._facts.now_s - at_s <= AT_ONCE_S
        self._seen["two workers that move one flow at once"] += soon and before != actor
        self._moved[flow] = actor, self._facts.now_s

    def _look(self, actor: str, move: Move, over: set[UUID]) -> None:
        kind = self._facts.known[move.job].kind if move.job in self._facts.known else ""
        if kind == "flow" and move.places[0] is Place.COMPLETED and move.new is not None:
            self._seen["a flow run once more"] += 1
        if move.places == (Place.FLOW, Place.READY):
            self._seen["a flow whose worker is gone begins anew"] += 1
        if move.new is None or not isinstance(row := move.new.row, CompletedRow):
            return
        if move.job in over:
            self._flow(actor, row, over)
        if kind == "approval":
            self._approval(row)

    def _flow(self, actor: str, row: CompletedRow, over: set[UUID]) -> None:
        facts = self._facts
        self._last_steps.update(leaving.job for leaving in facts.outcomes)
        step = step_of(facts, row.id)
        self._seen["a nested flow that ends the one around it"] += step is not None and (
            step.flow in over
        )
        self._seen["a flow that failed"] += row.status == "failure"
        gone = "ran all steps of this flow" in (row.error or "")
        self._seen["a flow whose worker is gone fails"] += gone
        if row.status != "canceled":
            return
        runs = any(
            (stand := facts.stands.get(job)) is not None and stand.place is Place.CLAIMED
            for job in self._steps.get(row.id, ())
        )
        self._seen["a flow cancelled while a step runs"] += actor == CLIENT and runs
        by_a_sweep = actor != CLIENT and row.worker is None
        self._seen["a flow cancelled by a sweep, for it had just begun"] += by_a_sweep
        self._seen["a flow that is canceled with a step of it"] += row.worker is not None

    def _approval(self, row: CompletedRow) -> None:
        said = (row.error or "") + (row.result or "")
        self._seen["an approval whose time ran out"] += "came within" in said
        self._seen["an approval that is refused"] += " disapproved" in said
        two = row.status == "success" and self._approvals[row.id] > 1
        self._seen["an approval that two people give"] += two
