"""A request to cancel reaches its job: at once before it runs, within a heartbeat while it does.

And by a sweep if its worker has given it back in the meantime.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Final
from uuid import UUID

from sim.database.rows import CancelRow, CompletedRow, WorkerRow
from sim.happenings import (
    BodyEnded,
    BodyStarted,
    CancelAnswered,
    CancelAsked,
    Committed,
    Happening,
)
from sim.oracles.base import Handler, Oracle, sweeps_have_passed_s
from sim.oracles.facts import Facts
from sim.oracles.fence import STUBBORN, WAKING_S, is_renewal
from sim.plan import Plan
from trioworker.events import CancelReceived, Event, HeartbeatFailed
from trioworker.model.transitions import Place

UNHELD: Final = (Place.READY, Place.WAITING, Place.FLOW)
BEATS: Final = 3
"""The first heartbeat that is seen may have looked before the request came; the second has looked
after it; at the third the answer to the second has been read."""


class CancelHeard(Oracle):
    """What a client cancels has ended when it is answered, or its worker stops it soon.

    So has all below it that was there when the client asked, and is still there: what has begun
    anew since then is another matter.
    Soon is: by the second heartbeat that the server has seen, unless one failed for the worker.
    A body that is stopped ends at once. Allowed: a stubborn one goes on for a while.
    What a worker has given back before it heard ends by the second sweep, unless there is trouble.
    """

    name = "cancel heard"

    def __init__(self, plan: Plan, facts: Facts) -> None:
        super().__init__(plan, facts)
        self._enough_s = sweeps_have_passed_s(plan.sizes)
        self._asked: set[UUID] = set()
        self._before: set[UUID] = set()
        self._requests: set[UUID] = set()
        self._unheld_s: dict[UUID, float] = {}
        self._running: dict[UUID, dict[UUID, str]] = {}
        self._beats: Counter[tuple[UUID, UUID]] = Counter()
        self._received_s: dict[tuple[UUID, UUID], float] = {}

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {
            CancelAsked: self._ask,
            CancelAnswered: self._answered,
            BodyStarted: self._starts,
            BodyEnded: self._ended,
            Committed: self._committed,
            HeartbeatFailed: self._failed,
            CancelReceived: self._received,
        }

    def _ask(self, _happening: Happening, event: CancelAsked) -> None:
        self._asked = set(event.jobs)
        self._before = self._family()

    def _family(self) -> set[UUID]:
        """The jobs that were asked for, and those below them, as far as nobody has deleted one."""
        return {j for j in self.facts.jobs if self._asked.intersection(self.facts.lineage(j))}

    def _answered(self, *_: object) -> None:
        for job in sorted(self._before & self._family()):
            stand = self.facts.stands.get(job)
            over = stand is not None and stand.place is Place.COMPLETED
            if not over and job not in self._requests:
                self.find(f"the request to cancel job {job} was answered and has left no trace")

    def _starts(self, _happening: Happening, event: BodyStarted) -> None:
        self._running.setdefault(event.worker, {})[event.job] = event.path
        self._received_s.pop((event.worker, event.job), None)
        self._beats.pop((event.worker, event.job), None)

    def _ended(self, _happening: Happening, event: BodyEnded) -> None:
        path = self._running.get(event.worker, {}).pop(event.job, None)
        received_s = self._received_s.get((event.worker, event.job))
        if received_s is None or path == STUBBORN:
            return
        process = self.facts.process_of(event.worker)
        late_s = self.facts.now_s - max(received_s, process.resumed_s if process else received_s)
        if late_s > WAKING_S:
            self.find(f"job {event.job} ran on for {late_s:.3f} s after it was cancelled")

    def _committed(self, _happening: Happening, event: Committed) -> None:
        for change in event.changes:
            old, new = change.old, change.new
            if isinstance(new, CancelRow):
                self._requests.add(new.id)
            elif isinstance(old, CancelRow):
                self._requests.discard(old.id)
            elif isinstance(old, CompletedRow) and new is None:
                # It had ended for who asked, and is run once more or was deleted since.
                self._before.discard(old.id)
            elif isinstance(new, WorkerRow) and is_renewal(old, new):
                self._beat(new.id)
        for move in self.facts.moves:
            self._is_swept(move.job)

    def _is_swept(self, job: UUID) -> None:
        """No sweep has passed over a job that is to be canceled and that no worker holds."""
        stand = self.facts.stands.get(job)
        if stand is None or job not in self._requests:
            self._unheld_s.pop(job, None)
        elif stand.place in UNHELD:
            self._unheld_s.setdefault(job, self.facts.now_s)
        else:
            since_s = self._unheld_s.pop(job, self.facts.now_s)
            canceled = isinstance(stand.row, CompletedRow) and stand.row.status == "canceled"
            if not canceled and self._quiet_s(since_s) > self._enough_s:
                self.find(f"job {job} goes on, which was to be canceled since {since_s:.3f} s")

    def _quiet_s(self, since_s: float) -> float:
        """How long since then nothing has kept the sweeps from their work."""
        born_s = max(process.born_s for process in self.facts.processes.values())
        return self.facts.now_s - max(since_s, self.facts.troubled_s, born_s)

    def _beat(self, worker: UUID) -> None:
        for job in self._running.get(worker, ()):
            key = (worker, job)
            if job in self._requests and key not in self._received_s:
                self._beats[key] += 1
                if self._beats[key] == BEATS:
                    self.find(f"job {job} runs on after {BEATS} heartbeats that should cancel it")

    def _failed(self, _happening: Happening, event: HeartbeatFailed) -> None:
        for job in self._running.get(event.worker, ()):
            self._beats.pop((event.worker, job), None)

    def _received(self, _happening: Happening, event: CancelReceived) -> None:
        self._received_s[event.worker, event.job] = self.facts.now_s
