"""Invariant 12 inside a worker: no slot of it is idle while there is something to run."""

from collections import Counter
from collections.abc import Mapping
from typing import Final
from uuid import UUID

from sim.database.rows import ClaimRow, ReadyRow
from sim.happenings import BodyEnded, BodyStarted, CancelAsked, Committed, Happening
from sim.oracles.base import Handler, Oracle
from sim.oracles.facts import LONG_AGO_S, Facts, Move
from sim.oracles.liveness import SETTLING_S, SLACK_S
from sim.plan import Plan
from trioworker.events import BatchAdopted, BatchPulled, Event, LeaseTaken, WorkerStarted
from trioworker.model.planner import alone_from

BEGINS_S: Final = 1.0
"""How long a job may wait in a worker with a free slot: a look at the cache may come before."""


class NoSlotIdles(Oracle):
    """A worker with a free slot begins what it has at once, and finds what is due by polling.

    Judged when the job begins, or is claimed at last by anybody, and only when the last trouble is
    over for good. A slot is free while fewer bodies run than there are slots. Allowed: a worker
    that has just pulled something else; one that has a job on its last chance in its hands, which
    it leaves alone; one that stops; a job that a client wants to cancel may be locked.
    """

    name = "no slot idles"
    invariant = 12

    def __init__(self, plan: Plan, facts: Facts) -> None:
        super().__init__(plan, facts)
        self._bodies: Counter[UUID] = Counter()
        self._free_since_s: dict[UUID, float] = {}
        self._brought_s: dict[UUID, float] = {}
        self._alone_s: dict[UUID, float] = {}
        self._in_hand_since_s: dict[tuple[UUID, UUID], float] = {}
        self._cancelled: set[UUID] = set()

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {
            WorkerStarted: self._started,
            BatchPulled: self._took,
            BatchAdopted: self._took,
            BodyStarted: self._begins,
            BodyEnded: self._ends,
            LeaseTaken: self._over,
            CancelAsked: self._cancel_asked,
            Committed: self._committed,
        }

    def _started(self, _happening: Happening, event: WorkerStarted) -> None:
        self._free_since_s[event.worker] = self.facts.now_s

    def _took(self, _happening: Happening, event: BatchPulled | BatchAdopted) -> None:
        self._brought_s[event.worker] = self.facts.now_s
        for job in event.jobs:
            self._in_hand_since_s[event.worker, job] = self.facts.now_s

    def _begins(self, _happening: Happening, event: BodyStarted) -> None:
        worker, job = event.worker, event.job
        since_s = self._in_hand_since_s.pop((worker, job), self.facts.now_s)
        if worker in self._free_since_s and self._works(worker) and self._is_calm(BEGINS_S):
            waited_s = self.facts.now_s - max(since_s, self._free_since_s[worker])
            if waited_s > BEGINS_S:
                self.find(f"job {job} waited in worker {worker} for {waited_s:.2f} s for no slot")
        self._bodies[worker] += 1
        if self._bodies[worker] == self.plan.sizes.concurrency:
            self._free_since_s.pop(worker, None)

    def _ends(self, _happening: Happening, event: BodyEnded) -> None:
        self._bodies[event.worker] -= 1
        if self._bodies[event.worker] < self.plan.sizes.concurrency:
            self._free_since_s.setdefault(event.worker, self.facts.now_s)

    def _over(self, _happening: Happening, event: LeaseTaken) -> None:
        self._free_since_s.pop(event.worker, None)

    def _cancel_asked(self, _happening: Happening, event: CancelAsked) -> None:
        self._cancelled.update(event.jobs)

    def _committed(self, *_: object) -> None:
        patience_s = self.plan.sizes.poll_s + SLACK_S
        for move in self.facts.moves:
            self._note_last_chance(move)
            if self._is_calm(patience_s):
                self._judge(move, patience_s)

    def _note_last_chance(self, move: Move) -> None:
        old = move.old
        if old is not None and isinstance(old.row, ClaimRow) and self._is_last_chance(old.reaped):
            self._alone_s[old.row.worker] = self.facts.now_s

    def _judge(self, move: Move, patience_s: float) -> None:
        job, old, new = move
        if old is None or new is None or not isinstance(new.row, ClaimRow):
            return
        if not isinstance(old.row, ReadyRow) or self._cancelled & {*self.facts.lineage(job)}:
            return
        due_for_s = (new.row.claimed_at - old.row.scheduled_for).total_seconds()
        waited_s = min(due_for_s, self.facts.now_s - self.facts.ready_since_s[job])
        if waited_s > patience_s and (idle := self._with_an_idle_slot(patience_s, old.row.tag)):
            what = f"job {job} waited for {waited_s:.2f} s"
            self.find(f"{what} while worker {idle} had a free slot and looked for nothing")

    def _with_an_idle_slot(self, patience_s: float, tag: str) -> UUID | None:
        """Somebody who takes this tag, has had a free slot for that long, and brought nothing."""
        for worker, free_since_s in self._free_since_s.items():
            if not self.facts.takes(worker, tag):
                continue
            since_s = max(
                free_since_s,
                self._brought_s.get(worker, LONG_AGO_S),
                self._alone_s.get(worker, LONG_AGO_S),
            )
            if since_s <= self.facts.now_s - patience_s and self._works(worker):
                return worker
        return None

    def _works(self, worker: UUID) -> bool:
        process = self.facts.process_of(worker)
        lives = process is not None and process.alive and not process.stops
        if not lives or process is None or process.life != worker:
            return False
        claims = self.facts.claims_of(worker)
        return not any(self._is_last_chance(lost) for claim in claims for lost in claim.reaped)

    def _is_last_chance(self, reaped: int) -> bool:
        return reaped >= alone_from(self.plan.sizes.reaped_max)

    def _is_calm(self, patience_s: float) -> bool:
        return self.facts.now_s - patience_s >= self.facts.troubled_s + SETTLING_S
