"""What is promised of approvals: each is decided once, as people said, and no word is lost."""

from collections.abc import Mapping, Sequence
from uuid import UUID

import msgspec

from sim.database.rows import CompletedRow, DecisionRow
from sim.happenings import Committed, DecisionAnswered, Happening
from sim.oracles.base import Handler, Oracle
from sim.oracles.endings import ends_of
from sim.oracles.facts import Facts
from sim.oracles.retries import options_of
from sim.plan import Plan
from trioworker.errors import UsageError
from trioworker.events import Event
from trioworker.model.completion import complete
from trioworker.model.flow_approval import Approval
from trioworker.model.flow_decision import Decision, decided
from trioworker.model.outcome import Failed, Succeeded
from trioworker.model.transitions import Place

TOO_LATE = ("ApprovalTimeout", "Cancelled")


class Decided(Oracle):
    """An approval ends with the decision that is the last it needs, in its commit, and once.

    What it becomes is what all decisions make of it. Nobody decides about what has ended, and what
    somebody was told is stored. Allowed: it ends without a decision when its time is over, or when
    somebody cancels it.
    """

    name = "decided"
    invariant = 6

    def __init__(self, plan: Plan, facts: Facts) -> None:
        super().__init__(plan, facts)
        self._said: dict[UUID, list[DecisionRow]] = {}

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {Committed: self._committed, DecisionAnswered: self._answered}

    def _answered(self, _happening: Happening, event: DecisionAnswered) -> None:
        if event.job not in self.facts.jobs:
            return
        if all(row.by != event.by for row in self._said.get(event.job, ())):
            self.find(f"{event.by} was told of a decision about {event.job} that is not stored")

    def _committed(self, _happening: Happening, event: Committed) -> None:
        ended = {row.id: row for _, row in ends_of(self.facts)}
        new = [c.new for c in event.changes if isinstance(c.new, DecisionRow)]
        for said in new:
            stand = self.facts.stands.get(said.job)
            if said.job not in ended and (stand is None or stand.place is not Place.WAITING):
                self.find(f"{said.by} has decided about job {said.job}, which does not wait")
                continue
            self._said.setdefault(said.job, []).append(said)
        for job in {*ended, *(said.job for said in new)}:
            row = self.facts.known.get(job)
            if row is not None and row.kind == "approval":
                self._judge(job, ended.get(job))

    def _judge(self, job: UUID, end: CompletedRow | None) -> None:
        approval = options_of(self.facts, job).approval or Approval()
        outcome = _outcome(approval, self._said.get(job, ()))
        if end is None:
            stand = self.facts.stands.get(job)
            if outcome is not None and stand is not None and stand.place is Place.WAITING:
                self.find(f"job {job} was decided, and still waits")
        elif outcome is None:
            if not (_is_too_late(end) or self._is_run_again(job)):
                self.find(f"job {job} ended as {end.status}, and nobody has decided that")
        elif (end.status, _json(end.result)) != (
            complete(outcome).status,
            _json(complete(outcome).result),
        ):
            self.find(f"job {job} ended as {end.status} {end.result}, and was decided otherwise")

    def _is_run_again(self, job: UUID) -> bool:
        """Whether it stands among ordinary jobs, for somebody wanted it once more."""
        move = next(move for move in self.facts.moves if move.job == job)
        return move.places[0] is not Place.WAITING


def _outcome(approval: Approval, said: Sequence[DecisionRow]) -> Succeeded | Failed | None:
    """What the decisions make of it."""
    so_far: list[Decision] = []
    for row in said:
        decision = Decision(row.by, row.approved, msgspec.json.decode(row.form))
        try:
            outcome = decided(approval, so_far, decision)
        except UsageError:
            continue
        if outcome is not None:
            return outcome
        so_far.append(decision)
    return None


def _is_too_late(end: CompletedRow) -> bool:
    error = msgspec.json.decode(end.error or "{}")
    result = msgspec.json.decode(end.result or "{}")
    return error.get("name") in TOO_LATE or "came within" in result.get("reason", "")


def _json(text: str | None) -> object:
    return None if text is None else msgspec.json.decode(text)
