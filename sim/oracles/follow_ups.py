"""Invariant 6 for what follows an end: its handlers are told and it comes again, once, with it."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple
from uuid import UUID

import msgspec

from sim.database.rows import CompletedRow, JobRow
from sim.happenings import Committed, Happening
from sim.oracles.base import Handler, Oracle
from sim.oracles.retries import options_of
from trioworker.events import Event
from trioworker.model.options import JobOptions

CLIENT: Final = "client"
"""Who enqueues jobs that are nobody's successors, and may end others to make room for them."""


class Call(NamedTuple):
    """Somebody is told that a job has ended."""

    job: UUID
    path: str
    of: str


class Followed(Oracle):
    """Just the handlers that an end has are enqueued in its commit, and just one successor.

    A failure tells one, a success another, and a third after attempts of the job that failed; a
    cancellation nobody, and neither does a handler. Whatever ends comes again if it is to, but
    after a cancellation. Nothing else enqueues a handler, ever.
    """

    name = "followed"
    invariant = 6

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {Committed: self._committed}

    def _committed(self, happening: Happening, event: Committed) -> None:
        new = [c.new for c in event.changes if c.old is None and isinstance(c.new, JobRow)]
        told = Counter(call for row in new for call in _calls(row))
        ends = [
            move.new.row
            for move in self.facts.moves
            if move.new is not None and isinstance(move.new.row, CompletedRow)
        ]
        expected = Counter(call for row in ends for call in self._expected(row))
        for call in (expected - told).elements():
            self.find(f"job {call.job} ended, and its handler of {call.of} was not called")
        for call in (told - expected).elements():
            self.find(f"the handler of {call.of} of job {call.job} was called for nothing")
        if happening.actor != CLIENT:
            self._restarts(new, ends)

    def _expected(self, row: CompletedRow) -> Iterator[Call]:
        options = options_of(self.facts, row.id)
        if options.handles is not None:
            return
        if row.status == "failure" and options.on_error is not None:
            yield Call(row.id, options.on_error.path, "error")
        if row.status == "success":
            if options.on_success is not None:
                yield Call(row.id, options.on_success.path, "success")
            if row.attempt - row.reaped > 1 and options.on_recovery is not None:
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


def _restarts(options: JobOptions) -> bool:
    """Whether it comes again whatever else there is; one with a key may be kept out by another."""
    return options.restart and options.unique is None and options.debounce is None


def _calls(row: JobRow) -> Iterator[Call]:
    """What a new job tells, if it is a handler's."""
    if row.options is None:
        return
    options = msgspec.json.decode(row.options, type=JobOptions)
    if options.handles is not None:
        (fact,) = msgspec.json.decode(row.args)
        yield Call(UUID(fact["id"]), row.path, options.handles)
