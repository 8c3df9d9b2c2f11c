"""Leases: who may store, who may run, and that the two workers of one job never overlap."""

from collections import Counter
from collections.abc import Mapping
from typing import Final
from uuid import UUID

from sim.database.rows import ClaimRow, Row, WorkerRow
from sim.happenings import (
    Answered,
    BodyEnded,
    BodyStarted,
    CommitLost,
    Committed,
    Happening,
    ServerDown,
    ServerUp,
    WorkerCrashed,
    WorkerExited,
    WorkerKilled,
)
from sim.oracles.base import Handler, Oracle
from sim.oracles.facts import LONG_AGO_S, Facts
from sim.plan import Plan
from trioworker.events import Event, HeartbeatFailed, StatementRun
from trioworker.model.transitions import Place

STUBBORN: Final = "stubborn"
"""The body that a cancellation cannot stop."""
OK: Final = 200
WAKING_S: Final = 0.05
"""What a process that was paused may still do before it has looked at its clock."""


def is_renewal(old: Row | None, new: Row | None) -> bool:
    """Whether a change of a row is a registration or a heartbeat."""
    before = old.last_heartbeat if isinstance(old, WorkerRow) else None
    return isinstance(new, WorkerRow) and new.last_heartbeat != before


class Fenced(Oracle):
    """Invariant 4: what a worker stores comes out of a claim of its own, at that very attempt.

    A claim that was taken away is gone, so no outcome fits it. Allowed: a worker whose lease was
    taken stores out of a claim that nobody has taken back yet. Nobody else can have these jobs,
    and the other way would be to run them again.
    """

    name = "fenced"
    invariant = 4

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {Committed: self._committed}

    def _committed(self, happening: Happening, _event: object) -> None:
        facts = self.facts
        for job, worker, _old, new in facts.outcomes:
            if facts.actors.get(worker) != happening.actor:
                self.find(f"{happening.actor} stored job {job} out of another's claim")
            elif new.place is Place.COMPLETED and new.worker != worker:
                self.find(f"job {job} was stored by {new.worker} out of {worker}'s claim")
        out_of_claims = {leaving.job for leaving in (*facts.outcomes, *facts.reapings)}
        for move in facts.moves:
            stored = move.new is not None and move.new.place is Place.COMPLETED and move.new.worker
            if move.places[0] is Place.FLOW:
                continue  # whoever ends its last step stores a flow
            if stored and move.job not in out_of_claims:
                self.find(f"worker {stored} stored job {move.job}, which was in no claim")


class Leases(Oracle):
    """Invariant 4: a lease is taken from the silent alone, and never comes back.

    By the server's clock, which may have been set; a lease that was cut short by that is the
    price of one clock for all. And after a start of the server from nobody for the length of a
    lease: nobody could renew his while it was down. Who has lost his lease hears of it with his
    next heartbeat that does not fail, and does not live to send another, but for a last one with
    which a stop says goodbye. An agent hears of it with the answer, and the first that it reads may
    have been given before.
    """

    name = "leases"
    invariant = 4

    def __init__(self, plan: Plan, facts: Facts) -> None:
        super().__init__(plan, facts)
        self._is_down = False
        self._up_s = LONG_AGO_S
        self._heard: Counter[UUID] = Counter()

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {
            Committed: self._committed,
            ServerDown: self._down,
            ServerUp: self._up,
            StatementRun: self._ran,
            Answered: self._was_answered,
            HeartbeatFailed: self._failed,
        }

    def _ran(self, happening: Happening, event: StatementRun) -> None:
        if event.name == "heartbeat":
            self._hears(happening.actor, at_most=1)

    def _was_answered(self, happening: Happening, event: Answered) -> None:
        if event.path == "heartbeat" and event.status == OK:
            self._hears(happening.actor, at_most=2)

    def _hears(self, actor: str, *, at_most: int) -> None:
        process = self.facts.processes.get(actor)
        if process is None or process.life is None or process.stops:
            return
        row = self.facts.workers.get(process.life)
        if row is not None and row.lost_at is not None:
            self._heard[process.life] += 1
            if self._heard[process.life] > at_most:
                self.find(f"worker {process.life} goes on without a lease")

    def _failed(self, _happening: Happening, event: HeartbeatFailed) -> None:
        self._heard.pop(event.worker, None)

    def _down(self, *_: object) -> None:
        self._is_down = True

    def _up(self, *_: object) -> None:
        if self._is_down:
            self._is_down = False
            self._up_s = self.facts.now_s

    def _committed(self, _happening: Happening, event: Committed) -> None:
        for change in event.changes:
            if isinstance(change.old, WorkerRow) and isinstance(change.new, WorkerRow):
                self._worker(change.old, change.new)
            elif isinstance(change.new, ClaimRow) and change.old is None:
                row = self.facts.workers.get(change.new.worker)
                if row is None or row.lost_at is not None:
                    self.find(f"worker {change.new.worker} claimed jobs without a lease")

    def _worker(self, old: WorkerRow, new: WorkerRow) -> None:
        if old.lost_at is not None:
            if new.lost_at != old.lost_at:
                self.find(f"worker {new.id} was lost and is not any more")
            if new.last_heartbeat != old.last_heartbeat:
                self.find(f"worker {new.id} renewed a lease that was taken away")
        elif new.lost_at is not None:
            lease_s = self.plan.sizes.lease_s
            silent_s = (new.lost_at - old.last_heartbeat).total_seconds()
            if silent_s <= lease_s:
                self.find(f"worker {new.id} lost its lease after {silent_s:.3f} s of silence")
            jumped_s = sum(s for at_s, s in self.facts.jumps if at_s >= self._up_s and s > 0)
            up_for_s = self.facts.now_s - self._up_s + jumped_s
            if up_for_s <= lease_s:
                self.find(f"worker {new.id} lost its lease {up_for_s:.3f} s after the server began")


class SelfFence(Oracle):
    """Invariant 4: a body runs only while its worker's lease cannot have ended.

    The lease ends `lease_s` after the server saw the last heartbeat. Allowed: a body that cannot
    be stopped; a process that was stopped by a signal, which does nothing about it until it goes
    on. The server's clock is not asked: a process can fence itself by its own clock alone.
    """

    name = "self-fence"
    invariant = 4

    def __init__(self, plan: Plan, facts: Facts) -> None:
        super().__init__(plan, facts)
        self._renewed_s: dict[UUID, float] = {}
        self._paths: dict[UUID, str] = {}

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {Committed: self._committed, BodyStarted: self._starts, BodyEnded: self._ended}

    def _committed(self, _happening: Happening, event: Committed) -> None:
        for change in event.changes:
            if isinstance(change.new, WorkerRow) and is_renewal(change.old, change.new):
                self._renewed_s[change.new.id] = self.facts.now_s

    def _starts(self, _happening: Happening, event: BodyStarted) -> None:
        self._paths[event.job] = event.path
        self._check(event.worker, event.job, "began")

    def _ended(self, _happening: Happening, event: BodyEnded) -> None:
        if self._paths.get(event.job) != STUBBORN:
            self._check(event.worker, event.job, "still ran")

    def _check(self, worker: UUID, job: UUID, what: str) -> None:
        process = self.facts.process_of(worker)
        resumed_s = LONG_AGO_S if process is None else process.resumed_s
        lease_ends_s = self._renewed_s.get(worker, LONG_AGO_S) + self.plan.sizes.lease_s
        late_s = self.facts.now_s - max(lease_ends_s, resumed_s + WAKING_S)
        if late_s > 0:
            self.find(f"job {job} {what} {late_s:.3f} s after its worker's lease")


class OneAtATime(Oracle):
    """Invariant 4: no job runs in two workers at the same time.

    Allowed: the other one cannot be stopped (a stubborn body) or was itself stopped by a signal;
    a crash of the server has forgotten the claim of one of them, who may begin first or last; the
    server's clock was set, so that its lease ended too early.
    """

    name = "one at a time"
    invariant = 4

    def __init__(self, plan: Plan, facts: Facts) -> None:
        super().__init__(plan, facts)
        self._running: dict[UUID, dict[UUID, str]] = {}
        self._forgotten: set[tuple[UUID, UUID]] = set()

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {
            BodyStarted: self._starts,
            BodyEnded: self._ended,
            CommitLost: self._lost,
            WorkerKilled: self._over,
            WorkerExited: self._over,
            WorkerCrashed: self._over,
        }

    def _starts(self, _happening: Happening, event: BodyStarted) -> None:
        running = self._running.setdefault(event.job, {})
        for worker, path in running.items():
            if worker == event.worker or (event.worker, event.job) in self._forgotten:
                continue
            if path != STUBBORN and not self._excused(worker, event.job):
                self.find(f"job {event.job} runs in {worker} and in {event.worker}")
        running[event.worker] = event.path

    def _excused(self, worker: UUID, job: UUID) -> bool:
        process = self.facts.process_of(worker)
        now_s, lease_s = self.facts.now_s, self.plan.sizes.lease_s
        return (
            process is None
            or process.paused
            or now_s <= process.resumed_s + WAKING_S
            or (worker, job) in self._forgotten
            or any(now_s <= at_s + lease_s for at_s, _ in self.facts.jumps)
        )

    def _ended(self, _happening: Happening, event: BodyEnded) -> None:
        self._running.get(event.job, {}).pop(event.worker, None)

    def _lost(self, *_: object) -> None:
        for job, old, _new in self.facts.moves:
            if old is not None and old.worker is not None:
                self._forgotten.add((old.worker, job))

    def _over(self, happening: Happening, _event: object) -> None:
        for running in self._running.values():
            for worker in list(running):
                if self.facts.actors.get(worker) == happening.actor:
                    del running[worker]
