"""Attempts: no more of them than the job allows, none too soon or too late, and all on record."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sim.database.rows import AttemptRow, ReadyRow
from sim.happenings import BodyEnded, BodyStarted, Committed, Happening
from sim.oracles.base import Handler, Oracle
from sim.oracles.facts import Attempt, Facts, Leaving
from sim.oracles.fence import STUBBORN, WAKING_S
from sim.plan import Plan
from trioworker.events import Event
from trioworker.model import options as model
from trioworker.model.options import NO_OPTIONS, JobOptions, RetryPolicy
from trioworker.model.outcome import Failed, Outcome, Retried

ROUNDING: Final = timedelta(milliseconds=2)


def options_of(facts: Facts, job: UUID) -> JobOptions:
    """What the job says about itself."""
    row = facts.known.get(job)
    return NO_OPTIONS if row is None else model.options_of(row.options)[0]


def next_attempt(leaving: Leaving) -> ReadyRow | None:
    """The row of the attempt that follows and is another one, if one does."""
    row = leaving.new.row
    return row if isinstance(row, ReadyRow) and row.attempt > leaving.old.attempt else None


class TriedAgain(Oracle):
    """A job is tried again as often as its policy says, and not sooner.

    Attempts that were lost with their workers do not count. A job that asks for another attempt
    itself says when; it is bound by the number all the same.
    """

    name = "tried again"

    def __init__(self, plan: Plan, facts: Facts) -> None:
        super().__init__(plan, facts)
        self._outcomes: dict[Attempt, Outcome | None] = {}

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {BodyEnded: self._ended, Committed: self._committed}

    def _ended(self, _happening: Happening, event: BodyEnded) -> None:
        self._outcomes[event.worker, event.job, event.attempt] = event.outcome

    def _committed(self, _happening: Happening, event: Committed) -> None:
        kept = [change.new for change in event.changes if isinstance(change.new, AttemptRow)]
        for leaving in self.facts.outcomes:
            row = next_attempt(leaving)
            if row is None or leaving.attempt not in self._outcomes:
                continue
            outcome = self._outcomes[leaving.attempt]
            tries = leaving.old.attempt - leaving.old.reaped
            policy = _policy(options_of(self.facts, leaving.job).policy(None), outcome)
            if policy is not None and policy.attempts is not None and tries >= policy.attempts:
                self.find(f"job {leaving.job} is tried again after {tries} attempts")
            least_s = _least_pause_s(policy, outcome, tries)
            for one in kept:
                if one.id == leaving.job and _ended_at(one) + least_s > row.scheduled_for:
                    self.find(f"job {leaving.job} is tried again before {least_s} have passed")


def _policy(policy: RetryPolicy | None, outcome: Outcome | None) -> RetryPolicy | None:
    """That which is for this failure; None stands for an attempt that was cut."""
    if policy is None:
        return None
    name = outcome.error.name if isinstance(outcome, Failed | Retried) else "Timeout"
    return policy.by_error.get(name, policy)


def _least_pause_s(policy: RetryPolicy | None, outcome: Outcome | None, tries: int) -> timedelta:
    if isinstance(outcome, Retried):
        return timedelta(seconds=outcome.delay_s)
    if policy is None:
        return timedelta(0)
    pause_s = min(policy.delay_max_s, policy.delay_s * policy.factor ** (tries - 1))
    return timedelta(seconds=pause_s * (1 - policy.jitter))


def _ended_at(one: AttemptRow) -> datetime:
    """When the attempt was over, at the earliest, by the clock that due times are by."""
    assert one.started_at is not None
    assert one.duration_ms is not None
    return one.started_at + timedelta(milliseconds=one.duration_ms) - ROUNDING


class OnRecord(Oracle):
    """Whoever counts one attempt more stores with it what became of the one before.

    Failed or lost with its worker: the history has it, from the same transaction.
    """

    name = "on record"
    invariant = 6

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {Committed: self._committed}

    def _committed(self, _happening: Happening, event: Committed) -> None:
        kept = {
            (change.new.id, change.new.attempt)
            for change in event.changes
            if isinstance(change.new, AttemptRow)
        }
        for leaving in (*self.facts.outcomes, *self.facts.reapings):
            if next_attempt(leaving) and (leaving.job, leaving.old.attempt) not in kept:
                self.find(f"attempt {leaving.old.attempt} of job {leaving.job} is in no history")


class InTime(Oracle):
    """No body begins that was claimed after its job's deadline, and none goes on after it.

    Allowed: a body that cannot be stopped, a process that is itself stopped by a signal, and a
    clock that was set. How long there is is counted from the claim, by the server's clock.
    """

    name = "in time"

    def __init__(self, plan: Plan, facts: Facts) -> None:
        super().__init__(plan, facts)
        self._until_s: dict[tuple[UUID, UUID], float] = {}

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {BodyStarted: self._started, BodyEnded: self._ended}

    def _started(self, _happening: Happening, event: BodyStarted) -> None:
        self._until_s.pop((event.worker, event.job), None)
        deadline = options_of(self.facts, event.job).deadline
        claims = [c for c in self.facts.claims_of(event.worker) if event.job in c.ids]
        if deadline is None or len(claims) != 1 or self.facts.jumps:
            return
        left_s = (deadline - claims[0].claimed_at).total_seconds()
        if left_s <= 0:
            self.find(f"job {event.job} began, {-left_s:.3f} s after its deadline")
        elif event.path != STUBBORN:
            self._until_s[event.worker, event.job] = self.facts.now_s + left_s

    def _ended(self, _happening: Happening, event: BodyEnded) -> None:
        until_s = self._until_s.pop((event.worker, event.job), None)
        if until_s is None or self.facts.jumps:
            return
        process = self.facts.process_of(event.worker)
        late_s = self.facts.now_s - max(until_s, process.resumed_s if process else until_s)
        if late_s > WAKING_S:
            self.find(f"job {event.job} ran on for {late_s:.3f} s after its deadline")
