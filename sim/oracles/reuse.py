"""Results that jobs take over instead of being run."""

import json
from collections.abc import Mapping
from typing import Final
from uuid import UUID

from sim.database.rows import CompletedRow, JobRow, ResultRow
from sim.happenings import BodyEnded, Committed, Happening
from sim.oracles.base import Handler, Oracle
from sim.oracles.facts import Attempt, Facts
from sim.oracles.retries import options_of
from sim.plan import Plan
from trioworker.events import Event
from trioworker.model.outcome import Succeeded

SLACK_S: Final = 1.0


class Reused(Oracle):
    """Invariant 6, of cached results: a success that was not run is the one of an equal job.

    A result is kept with the success that it is, in one transaction, and never that of a job which
    took it over itself. It is taken by jobs of the same kind, path and arguments, while it is not
    older than they ask; it may grow older by as long as an answer may take, and by as
    long as its worker was stopped by a signal while it waited for that. Where somebody has set
    the server's clock nobody can tell how old it is.
    """

    name = "reused"
    invariant = 6

    def __init__(self, plan: Plan, facts: Facts) -> None:
        super().__init__(plan, facts)
        self._own: dict[Attempt, list[object]] = {}
        self._kept: dict[UUID, ResultRow] = {}

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {BodyEnded: self._body_ended, Committed: self._committed}

    def _body_ended(self, _happening: Happening, event: BodyEnded) -> None:
        if isinstance(event.outcome, Succeeded):
            key = (event.worker, event.job, event.attempt)
            self._own.setdefault(key, []).append(json.loads(event.outcome.result))

    def _committed(self, _happening: Happening, event: Committed) -> None:
        kept = {row.job: row for c in event.changes if isinstance(row := c.new, ResultRow)}
        for leaving in self.facts.outcomes:
            row = leaving.new.row
            if isinstance(row, CompletedRow) and row.status == "success":
                self._succeeded(leaving.attempt, row, kept.pop(leaving.job, None))
        for job in kept:
            self.find(f"a result of job {job} was kept without its success")

    def _succeeded(self, attempt: Attempt, row: CompletedRow, kept: ResultRow | None) -> None:
        ttl_s = options_of(self.facts, row.id).cache_ttl_s
        if ttl_s is None:
            return
        result = json.loads(row.result or "null")
        if result in self._own.get(attempt, ()):
            if kept is not None:
                self._kept[row.id] = kept
            return
        if kept is not None:
            self.find(f"job {row.id} took over a result and kept it again")
        job = self.facts.jobs[row.id]
        sources = [one for one in self._kept.values() if json.loads(one.result) == result]
        if not any(_equal(job, self.facts.known[one.job]) for one in sources):
            self.find(f"job {row.id} has a result that no equal job has left")
        elif not any(self._young(row, one, ttl_s) for one in sources):
            self.find(f"job {row.id} took over a result older than {ttl_s:g} s")

    def _young(self, row: CompletedRow, kept: ResultRow, ttl_s: float) -> bool:
        assert row.started_at is not None
        age_s = (row.started_at - kept.stored_at).total_seconds()
        late_s = self.plan.sizes.command_timeout_s + SLACK_S + self._paused_s(row.worker)
        return bool(self.facts.jumps) or age_s <= ttl_s + late_s

    def _paused_s(self, worker: UUID | None) -> float:
        """How long the worker was stopped by a signal, when it last was."""
        process = None if worker is None else self.facts.process_of(worker)
        if process is None or process.resumed_s < process.paused_s or process.paused_s < 0:
            return 0.0
        return process.resumed_s - process.paused_s


def _equal(one: JobRow, other: JobRow) -> bool:
    return (one.kind, one.path, one.args) == (other.kind, other.path, other.args)
