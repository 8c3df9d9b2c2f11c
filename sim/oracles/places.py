"""Invariant 1: no job is lost."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from uuid import UUID

from sim.database.rows import ClaimRow, CompletedRow, ReadyRow, Row, WaitingRow
from sim.happenings import CommitLost, Committed, Enqueued, Happening, RowChange
from sim.oracles.base import Handler, Oracle
from sim.plan import Plan
from trioworker.events import Event


class NothingLost(Oracle):
    """After every commit each job stands in exactly one place; one that was promised, for ever."""

    name = "nothing lost"
    invariant = 1

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self._places: dict[UUID, Counter[str]] = {}
        self._promised: set[UUID] = set()

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {
            Committed: self._committed,
            CommitLost: self._undone,
            Enqueued: self._enqueued,
        }

    def _committed(self, _happening: Happening, event: Committed) -> None:
        self._move(event.changes, sign=1)

    def _undone(self, _happening: Happening, event: CommitLost) -> None:
        self._move(event.changes, sign=-1)

    def _enqueued(self, _happening: Happening, event: Enqueued) -> None:
        self._promised.update(event.jobs)
        for job in event.jobs:
            self._check(job)

    def _move(self, changes: Sequence[RowChange], *, sign: int) -> None:
        touched: dict[UUID, None] = {}
        for change in changes:
            for row, count in ((change.old, -sign), (change.new, sign)):
                for job in _jobs_of(row):
                    self._places.setdefault(job, Counter())[change.table] += count
                    touched[job] = None
        for job in touched:
            self._check(job)

    def _check(self, job: UUID) -> None:
        places = +self._places.get(job, Counter())
        total = places.total()
        if total > 1:
            self.find(f"job {job} stands in {dict(places)}")
        elif total == 0 and job in self._promised:
            self.find(f"job {job} stands nowhere")


def _jobs_of(row: Row | None) -> Iterator[UUID]:
    if isinstance(row, ReadyRow | WaitingRow | CompletedRow):
        yield row.id
    elif isinstance(row, ClaimRow):
        yield from row.ids
