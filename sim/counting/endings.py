"""What comes with the ends of jobs, and what becomes of those that have ended."""

from collections import Counter
from collections.abc import Mapping
from uuid import UUID

from sim.counting.part import Part
from sim.database.rows import ClaimRow, CompletedRow, JobRow, LabelRow, ResultRow, UniqueKeyRow
from sim.happenings import BodyEnded, Committed, Happening, RequeueAnswered
from sim.oracles.base import Handler
from sim.oracles.endings import ends_of
from sim.oracles.facts import Facts
from sim.oracles.follow_ups import calls_of
from sim.oracles.retries import options_of
from trioworker.events import Event
from trioworker.model.outcome import Failed, Retried
from trioworker.model.transitions import Place


class Endings(Part):
    """What comes with the ends of jobs, and what becomes of those that have ended."""

    states = (
        "labels of several jobs in one commit",
        "labels of a job that no worker ends",
        "labels of an attempt that failed",
        "a handler called by a sweep that gives up",
        "a recovery told",
        "a recovery of a schedule told",
        "a job that is muted ends",
        "a job deleted when its time has come",
        "a job deleted because it is old",
        "a job deleted while another of its claim runs",
        "a job run once more that succeeds",
        "a job run once more after a cancellation",
        "a job not run once more because its key is taken",
        "a key that a sweep forgets",
        "a result that a sweep forgets",
    )

    def __init__(self, facts: Facts, seen: Counter[str]) -> None:
        super().__init__(facts, seen)
        self._claims: dict[UUID, tuple[UUID, ...]] = {}
        self._again: set[UUID] = set()

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Part.handlers`."""
        return {
            BodyEnded: self._body_ended,
            RequeueAnswered: self._answered,
            Committed: self._committed,
        }

    def _body_ended(self, _happening: Happening, event: BodyEnded) -> None:
        if event.labels and isinstance(event.outcome, Failed | Retried):
            self._seen["labels of an attempt that failed"] += 1

    def _answered(self, _happening: Happening, event: RequeueAnswered) -> None:
        if event.kept_out:
            self._seen["a job not run once more because its key is taken"] += 1

    def _committed(self, _happening: Happening, event: Committed) -> None:
        self._ends(event)
        self._gone(event)
        for job in self._facts.deleted:
            self._deleted(job)
        for job, old, new in self._facts.moves:
            if new is not None and isinstance(new.row, ClaimRow):
                self._claims[job] = new.row.ids
            if old is not None and new is not None and isinstance(old.row, CompletedRow):
                self._again.add(job)
                if old.row.status == "canceled":
                    self._seen["a job run once more after a cancellation"] += 1

    def _ends(self, event: Committed) -> None:
        labelled = {c.new.id for c in event.changes if isinstance(c.new, LabelRow)}
        if len(labelled) > 1:
            self._seen["labels of several jobs in one commit"] += 1
        rows = (change.new for change in event.changes if change.old is None)
        calls = [call for row in rows if isinstance(row, JobRow) for call in calls_of(row)]
        told = {call.job for call in calls}
        for move, row in ends_of(self._facts):
            given_up = move.old is not None and row.reaped > move.old.reaped
            if (given_up or row.worker is None) and row.id in labelled:
                self._seen["labels of a job that no worker ends"] += 1
            if given_up and row.id in told:
                self._seen["a handler called by a sweep that gives up"] += 1
            if options_of(self._facts, row.id).muted:
                self._seen["a job that is muted ends"] += 1
            if row.id in self._again and row.status == "success":
                self._seen["a job run once more that succeeds"] += 1
        recovered = {call.job for call in calls if call.of == "recovery"}
        if recovered:
            self._seen["a recovery told"] += 1
        if any(options_of(self._facts, job).schedule is not None for job in recovered):
            self._seen["a recovery of a schedule told"] += 1

    def _deleted(self, job: UUID) -> None:
        asked = options_of(self._facts, job).delete_after_s is not None
        why = "when its time has come" if asked else "because it is old"
        self._seen[f"a job deleted {why}"] += 1
        stands = [self._facts.stands.get(other) for other in self._claims.get(job, ())]
        if any(stand is not None and stand.place is Place.CLAIMED for stand in stands):
            self._seen["a job deleted while another of its claim runs"] += 1

    def _gone(self, event: Committed) -> None:
        for row in (change.old for change in event.changes if change.new is None):
            if isinstance(row, UniqueKeyRow):
                self._seen["a key that a sweep forgets"] += 1
            if isinstance(row, ResultRow):
                self._seen["a result that a sweep forgets"] += 1
