"""Invariant 6 for what follows an end: its handlers are told and it comes again, once, with it."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple
from uuid import UUID

import msgspec

from sim.database.rows import CompletedRow, JobRow, ReadyRow, ScheduleRow, WaitingRow
from sim.happenings import BodyStarted, Committed, Happening
from sim.oracles.base import Handler, Oracle
from sim.oracles.facts import LONG_AGO_S, Facts
from sim.oracles.liveness import SETTLING_S
from sim.oracles.retries import options_of
from sim.plan import Plan
from trioworker.events import Event
from trioworker.model.options import JobOptions
from trioworker.model.options import options_of as options_in

RESTART_AFTER_S: Final = 10.0
"""As the page of restarts promises it."""
ROUNDING_S: Final = 0.001
UNDER_WAY_S: Final = 0.5
CLIENT: Final = "client"
"""Who enqueues jobs that are nobody's successors, and may end others to make room for them."""


class Call(NamedTuple):
    """Somebody is told that a job has ended."""

    job: UUID
    path: str
    of: str


class Followed(Oracle):
    """Just the handlers that an end has are enqueued in its commit, and just one successor.

    A failure tells one, a success another, and a third after attempts of the job that failed, or
    after failures of its schedule; a cancellation nobody, and neither does a handler, nor a job
    that is muted. Whatever ends comes again if it is to, but after a cancellation. Nothing else
    enqueues a handler, ever.
    """

    name = "followed"
    invariant = 6

    def __init__(self, plan: Plan, facts: Facts) -> None:
        super().__init__(plan, facts)
        self._failures: dict[str, int] = {}
        """How often each schedule has failed since its last success."""

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {Committed: self._committed}

    def _committed(self, happening: Happening, event: Committed) -> None:
        new = [c.new for c in event.changes if c.old is None and isinstance(c.new, JobRow)]
        told = Counter(call for row in new for call in calls_of(row))
        ends = [
            move.new.row
            for move in self.facts.moves
            if move.new is not None and isinstance(move.new.row, CompletedRow)
        ]
        expected = Counter(call for row in ends for call in self._expected(row))
        for call in self._in_doubt(ends):
            del expected[call], told[call]
        for call in (expected - told).elements():
            self.find(f"job {call.job} ended, and its handler of {call.of} was not called")
        for call in (told - expected).elements():
            self.find(f"the handler of {call.of} of job {call.job} was called for nothing")
        if happening.actor != CLIENT:
            self._restarts(new, ends)
        for change in event.changes:
            if isinstance(row := change.new or change.old, ScheduleRow):
                self._failures[row.name] = row.failures if change.new else 0

    def _in_doubt(self, ends: Sequence[CompletedRow]) -> Iterator[Call]:
        """Recoveries of a schedule of which several jobs end at once, in an unknown order."""
        schedules = {row.id: options_of(self.facts, row.id).schedule for row in ends}
        counts = Counter(schedules.values())
        for row in ends:
            handler = options_of(self.facts, row.id).on_recovery
            if handler and schedules[row.id] is not None and counts[schedules[row.id]] > 1:
                yield Call(row.id, handler.path, "recovery")

    def _expected(self, row: CompletedRow) -> Iterator[Call]:
        options = options_of(self.facts, row.id)
        if options.handles is not None or options.muted:
            return
        if row.status == "failure" and options.on_error is not None:
            yield Call(row.id, options.on_error.path, "error")
        if row.status == "success":
            if options.on_success is not None:
                yield Call(row.id, options.on_success.path, "success")
            failed = row.attempt - row.reaped > 1 or self._failures.get(options.schedule or "", 0)
            if failed and options.on_recovery is not None:
                yield Call(row.id, options.on_recovery.path, "recovery")

    def _restarts(self, new: list[JobRow], ends: list[CompletedRow]) -> None:
        over = Counter(
            self.facts.jobs[row.id].path
            for row in ends
            if row.status != "canceled" and _restarts(options_of(self.facts, row.id))
        )
        came = Counter(row.path for row in new if _restarts(options_of(self.facts, row.id)))
        if over != came:
            self.find(f"{over.total()} jobs that restart have ended, and {came.total()} came again")


class RestFirst(Oracle):
    """A job that restarts is due ten seconds after its last run began, and at once if that is over.

    So it begins no more often than that, for nothing begins before it is due. Which of several that
    end together is which is not known here: the one that began first is the one that is due first.
    Allowed: ten seconds from now for one that was given up, whose beginning nobody knows; and what
    a transaction took that came into trouble.
    """

    name = "rest first"
    invariant = 9

    def __init__(self, plan: Plan, facts: Facts) -> None:
        super().__init__(plan, facts)
        self._began_s: dict[UUID, float] = {}

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {BodyStarted: self._begins, Committed: self._committed}

    def _begins(self, _happening: Happening, event: BodyStarted) -> None:
        self._began_s[event.job] = self.facts.now_s

    def _committed(self, happening: Happening, event: Committed) -> None:
        if happening.actor == CLIENT:
            return
        came_s = sorted(rests_s(self.facts, event))
        began_s = sorted(self._began_s.get(job, LONG_AGO_S) for job in restarted(self.facts))
        for rest_s, before_s in zip(came_s, began_s, strict=False):
            since_s = self.facts.now_s - before_s
            if rest_s + since_s < RESTART_AFTER_S - ROUNDING_S:
                self.find(f"a job restarts {rest_s + since_s:.2f} s after its last run began")
            calm = self.facts.now_s >= self.facts.troubled_s + SETTLING_S
            if calm and rest_s > RESTART_AFTER_S + UNDER_WAY_S:
                self.find(f"a job restarts in {rest_s:.2f} s")


def restarted(facts: Facts) -> Iterator[UUID]:
    """The jobs that restart and have ended by the commit at hand."""
    for move in facts.moves:
        if move.new is None or not isinstance(row := move.new.row, CompletedRow):
            continue
        if row.status != "canceled" and options_of(facts, row.id).restart:
            yield row.id


def rests_s(facts: Facts, event: Committed) -> Iterator[float]:
    """After how many seconds each job that has come again by this commit is due."""
    for change in event.changes:
        row = change.new
        if not isinstance(row, JobRow) or change.old is not None:
            continue
        place = facts.stands[row.id].row
        if options_of(facts, row.id).restart and isinstance(place, ReadyRow | WaitingRow):
            assert place.scheduled_for is not None
            yield (place.scheduled_for - row.created_at).total_seconds()


def _restarts(options: JobOptions) -> bool:
    """Whether it comes again whatever else there is; one with a key may be kept out by another."""
    return options.restart and options.unique is None and options.debounce is None


def calls_of(row: JobRow) -> Iterator[Call]:
    """What a new job tells, if it is a handler's."""
    options, _ = options_in(row.options)
    if options.handles is not None:
        (fact,) = msgspec.json.decode(row.args)
        yield Call(UUID(fact["id"]), row.path, options.handles)
