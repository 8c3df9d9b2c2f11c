"""Invariant 12: when faults stop, everything moves, and every worker does its part."""

from collections import Counter
from collections.abc import Mapping
from typing import Final
from uuid import UUID

from sim.database.rows import ClaimRow, ReadyRow
from sim.happenings import (
    CancelAsked,
    Committed,
    Drained,
    Happening,
    Healed,
    WorkerCrashed,
    WorkerExited,
    WorkerKilled,
)
from sim.oracles.base import Handler, Oracle
from sim.oracles.facts import LONG_AGO_S, Facts
from sim.plan import Plan
from trioworker.events import (
    BatchAdopted,
    BatchPulled,
    BatchStored,
    Event,
    LeaseTaken,
    OutcomeAbandoned,
    StatementRun,
    WorkerStarted,
)

SETTLING_S: Final = 15.0
"""How long after the last trouble something may still wait because of it: a statement that was
stalled, its timeout, the longest back-off, a new registration."""
SLACK_S: Final = 1.0
SWEEP_JITTER: Final = 1.2


class Live(Oracle):
    """After the world has healed, all that was promised is completed within `drain_s`."""

    name = "live"
    invariant = 12

    def __init__(self, plan: Plan, facts: Facts) -> None:
        super().__init__(plan, facts)
        self._healed = False
        self._drained = False

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {Healed: self._heal, Drained: self._drain}

    def _heal(self, *_: object) -> None:
        self._healed = True

    def _drain(self, *_: object) -> None:
        self._drained = True

    def at_the_end(self) -> None:
        """See `Oracle.at_the_end`."""
        if self._healed and not self._drained:
            self.find(f"the queue did not drain in {self.plan.drain_s:g} s without faults")


class NobodyIdles(Oracle):
    """No due job waits while a worker has nothing to do: each finds it by polling, at the latest.

    Judged when the job is claimed at last, by anybody, and only when the last trouble is over for
    good. A worker has nothing to do while it lives, is not stopping and holds no job. Allowed: a
    job that a client wants to cancel may be locked.
    """

    name = "nobody idles"
    invariant = 12

    def __init__(self, plan: Plan, facts: Facts) -> None:
        super().__init__(plan, facts)
        self._in_hand: Counter[UUID] = Counter()
        self._idle_since_s: dict[UUID, float] = {}
        self._cancelled: set[UUID] = set()

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {
            WorkerStarted: self._started,
            BatchPulled: self._took,
            BatchAdopted: self._took,
            BatchStored: self._stored,
            OutcomeAbandoned: self._abandoned,
            LeaseTaken: self._over,
            CancelAsked: self._cancel_asked,
            Committed: self._committed,
        }

    def _started(self, _happening: Happening, event: WorkerStarted) -> None:
        self._idle_since_s[event.worker] = self.facts.now_s

    def _took(self, _happening: Happening, event: BatchPulled | BatchAdopted) -> None:
        self._in_hand[event.worker] += len(event.jobs)
        self._idle_since_s.pop(event.worker, None)

    def _stored(self, _happening: Happening, event: BatchStored) -> None:
        self._leaves(event.worker, len(event.jobs))

    def _abandoned(self, _happening: Happening, event: OutcomeAbandoned) -> None:
        self._leaves(event.worker, 1)

    def _leaves(self, worker: UUID, jobs: int) -> None:
        self._in_hand[worker] -= jobs
        if not self._in_hand[worker]:
            self._idle_since_s[worker] = self.facts.now_s

    def _over(self, _happening: Happening, event: LeaseTaken) -> None:
        self._idle_since_s.pop(event.worker, None)

    def _cancel_asked(self, _happening: Happening, event: CancelAsked) -> None:
        self._cancelled.update(event.jobs)

    def _committed(self, *_: object) -> None:
        facts = self.facts
        patience_s = self.plan.sizes.poll_s + SLACK_S
        if facts.now_s - patience_s < facts.troubled_s + SETTLING_S:
            return
        for job, old, new in facts.moves:
            if new is None or not isinstance(new.row, ClaimRow) or job in self._cancelled:
                continue
            if old is not None and isinstance(old.row, ReadyRow):
                due_for_s = (new.row.claimed_at - old.row.scheduled_for).total_seconds()
                waited_s = min(due_for_s, facts.now_s - facts.ready_since_s[job])
                if waited_s > patience_s and (idle := self._idle_for(patience_s)):
                    self.find(f"job {job} waited for {waited_s:.2f} s while worker {idle} idled")

    def _idle_for(self, patience_s: float) -> UUID | None:
        """Somebody who has had nothing to do for that long."""
        for worker, since_s in self._idle_since_s.items():
            process = self.facts.process_of(worker)
            if process is None or not process.alive or process.stops:
                continue
            if process.life == worker and since_s <= self.facts.now_s - patience_s:
                return worker
        return None


class ReapedInTime(Oracle):
    """What a dead worker has claimed is taken back within its lease and one sweep.

    Counted from its death or from the end of the last trouble, whichever is later. Allowed on
    top: as much as the server's clock was ever set back, for by that clock the lease is longer;
    and another lease, for a server that has just started gives everybody one.
    """

    name = "reaped in time"
    invariant = 12

    def __init__(self, plan: Plan, facts: Facts) -> None:
        super().__init__(plan, facts)
        self._died_s: dict[UUID, float] = {}

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {
            WorkerKilled: self._died,
            WorkerCrashed: self._died,
            WorkerExited: self._died,
            LeaseTaken: self._taken,
            Committed: self._committed,
        }

    def _died(self, happening: Happening, _event: object) -> None:
        life = self.facts.processes[happening.actor].life
        if life is not None:
            self._died_s.setdefault(life, self.facts.now_s)

    def _taken(self, _happening: Happening, event: LeaseTaken) -> None:
        self._died_s.setdefault(event.worker, self.facts.now_s)

    def _committed(self, *_: object) -> None:
        sizes = self.plan.sizes
        set_back_s = -sum(seconds for _, seconds in self.facts.jumps if seconds < 0)
        may_take_s = 2 * sizes.lease_s + SWEEP_JITTER * sizes.sweep_s + set_back_s + SLACK_S
        for job, worker, _old, _new in self.facts.reapings:
            died_s = self._died_s.get(worker, self.facts.now_s)
            since_s = max(died_s, self.facts.troubled_s + SETTLING_S)
            if self.facts.now_s - since_s > may_take_s:
                took_s = self.facts.now_s - since_s
                self.find(f"job {job} was taken back {took_s:.2f} s after its worker's end")


class GoesOn(Oracle):
    """Every worker that lives beats and sweeps at its intervals, when nothing is in its way.

    A sweep that one failure ended for good would be made up for by the other workers, and a
    heartbeat too few by the length of the lease; so each worker is looked at alone.
    """

    name = "goes on"
    invariant = 12

    def __init__(self, plan: Plan, facts: Facts) -> None:
        super().__init__(plan, facts)
        sizes = plan.sizes
        self._every_s = {
            "heartbeat": sizes.heartbeat_s,
            "reap": SWEEP_JITTER * sizes.sweep_s,
        }
        self._last_s: dict[tuple[str, str], float] = {}

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {StatementRun: self._ran, Drained: self._look_at_all}

    def _ran(self, happening: Happening, event: StatementRun) -> None:
        if event.name in self._every_s:
            self._look(happening.actor, event.name)
            self._last_s[happening.actor, event.name] = self.facts.now_s

    def _look_at_all(self, *_: object) -> None:
        for actor, process in self.facts.processes.items():
            if process.alive and process.life is not None:
                for name in self._every_s:
                    self._look(actor, name)

    def _look(self, actor: str, name: str) -> None:
        process = self.facts.processes.get(actor)
        if process is None or process.stops:
            return
        last_s = max(
            process.started_s,
            self._last_s.get((actor, name), LONG_AGO_S),
            self.facts.troubled_s + SETTLING_S,
        )
        pause_s = self.facts.now_s - last_s
        if pause_s > self._every_s[name] + SLACK_S:
            self.find(f"{actor} ran no {name} for {pause_s:.2f} s")
