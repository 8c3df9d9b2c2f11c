"""More of what `sim.counters` counts: jobs that wait because others have a higher ranked tag."""

from collections.abc import Mapping

from sim.counting.part import Part
from sim.database.rows import ClaimRow, ReadyRow
from sim.happenings import Committed, Happening
from sim.oracles.base import Handler
from sim.oracles.facts import ranks_of
from trioworker.events import Event


class Ranks(Part):
    """Claims whose order the ranks of their worker's tags decide."""

    states = ("a lower ranked tag waited for a higher ranked",)

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Part.handlers`."""
        return {Committed: self._committed}

    def _committed(self, _happening: Happening, event: Committed) -> None:
        for change in event.changes:
            claim = change.new
            if isinstance(claim, ClaimRow) and change.old is None and self._held_up(claim):
                self._seen["a lower ranked tag waited for a higher ranked"] += 1

    def _held_up(self, claim: ClaimRow) -> bool:
        """Whether a due job was left that would have gone first, were it not for its tag."""
        ranks = ranks_of(self._facts.workers[claim.worker])
        claimed = [
            old.row for _, old, _ in self._facts.moves if old and isinstance(old.row, ReadyRow)
        ]
        return any(
            ranks[left.tag] < ranks[row.tag] and left.priority > row.priority
            for left in self._facts.ready.values()
            if left.scheduled_for <= claim.claimed_at and left.tag in ranks
            for row in claimed
        )
