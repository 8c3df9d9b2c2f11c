"""What becomes of jobs with a limit."""

from collections.abc import Mapping

from sim.counting.part import Part
from sim.database.rows import SlotRow, SpentRow
from sim.happenings import Committed, Happening
from sim.oracles.base import Handler
from trioworker.events import Event
from trioworker.model.transitions import Place


class Limits(Part):
    """What becomes of jobs with a limit."""

    states = (
        "a job over its limit is enqueued",
        "a slot handed on by a commit",
        "a slot that time alone has freed",
        "a limited job that waits in line again",
        "a limited job reaped in its slot",
        "a slot freed by a sweep that gives up",
        "a job cancelled in line",
        "a slot that stays taken for a window",
    )

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Part.handlers`."""
        return {Committed: self._committed}

    def _committed(self, _happening: Happening, event: Committed) -> None:
        facts = self._facts
        rows = [(change.old, change.new) for change in event.changes]
        freed = {old.id for old, new in rows if isinstance(old, SlotRow) and new is None}
        ways = [move.places for move in facts.moves]
        let_in = ways.count((Place.WAITING, Place.READY))
        reaped = {leaving.job for leaving in facts.reapings}
        self._count("a job over its limit is enqueued", ways.count((None, Place.WAITING)))
        self._count("a slot handed on by a commit", let_in if freed & self._outcomes() else 0)
        by_time = not freed and (None, Place.WAITING) not in ways
        self._count("a slot that time alone has freed", let_in if by_time else 0)
        again = ways.count((Place.CLAIMED, Place.WAITING))
        self._count("a limited job that waits in line again", again)
        self._count("a slot freed by a sweep that gives up", len(freed & reaped))
        limited = [job for job in reaped - freed if '"limit"' in (facts.jobs[job].options or "")]
        self._count("a limited job reaped in its slot", len(limited))
        cancelled = ways.count((Place.WAITING, Place.COMPLETED))
        self._count("a job cancelled in line", cancelled)
        windows = sum(isinstance(new, SpentRow) for _, new in rows)
        self._count("a slot that stays taken for a window", windows)

    def _outcomes(self) -> set[object]:
        return {leaving.job for leaving in self._facts.outcomes}

    def _count(self, state: str, times: int) -> None:
        self._seen[state] += times
