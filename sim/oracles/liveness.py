"""Invariant 12: when faults stop, everything moves, and every worker does its part."""

from collections.abc import Mapping
from typing import Final
from uuid import UUID

import msgspec

from sim.database.rows import ClaimRow, ReadyRow
from sim.happenings import (
    Answered,
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
from sim.oracles.facts import Facts
from sim.oracles.fence import OK
from sim.oracles.idle import Idle
from sim.plan import Plan
from trioworker.events import (
    BatchAdopted,
    BatchPulled,
    BatchStored,
    Event,
    HeartbeatFailed,
    LeaseDoubtful,
    LeaseTaken,
    MaintenanceFailed,
    OutcomeAbandoned,
    OutcomeResumed,
    PullFailed,
    StatementRun,
    WorkerStarted,
)
from trioworker.model.failures import BACKOFF_LAST_S
from trioworker.worker.heartbeat import RETRY_S

SETTLING_S: Final = 15.0
"""How long after the last trouble something may still wait because of it: a statement that was
stalled, its timeout, the longest back-off, a new registration."""
SLACK_S: Final = 1.0
SWEEP_JITTER: Final = 1.2
STATEMENTS_PER_SWEEP: Final = 13
BEAT: Final = "beats"
SWEEP: Final = "sweeps"
ASK: Final = "asks for jobs"
CHORES: Final = {
    "heartbeat": BEAT, "reap": SWEEP, "pull": ASK, "adopt": ASK, "next_due": ASK, "batch_pull": ASK,
}  # fmt: skip
"""Which statement, or which request, is a sign that a worker does its chores."""


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
        self._idle = Idle(facts)
        self._cancelled: set[UUID] = set()

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {
            **self._idle.handlers(),
            CancelAsked: self._cancel_asked,
            Committed: self._committed,
        }

    def _cancel_asked(self, _happening: Happening, event: CancelAsked) -> None:
        self._cancelled.update(event.jobs)

    def _committed(self, *_: object) -> None:
        facts = self.facts
        patience_s = self.plan.sizes.poll_s + SLACK_S
        if facts.now_s - patience_s < facts.troubled_s + SETTLING_S:
            return
        for job, old, new in facts.moves:
            if new is None or not isinstance(new.row, ClaimRow):
                continue
            if not self._cancelled.isdisjoint(self.facts.lineage(job)):
                continue
            if old is not None and isinstance(old.row, ReadyRow):
                due_for_s = (new.row.claimed_at - old.row.scheduled_for).total_seconds()
                waited_s = min(due_for_s, facts.now_s - facts.ready_since_s[job])
                takers = self._idle.takers(old.row.tag, since_s=facts.now_s - patience_s)
                if waited_s > patience_s and (idle := next(takers, None)):
                    self.find(f"job {job} waited for {waited_s:.2f} s while worker {idle} idled")


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


class _Chores(msgspec.Struct):
    """When a worker did its chores last, and what excuses it from pulling."""

    did_s: dict[str, float] = msgspec.field(default_factory=dict)
    in_hand: int = 0
    fenced: bool = False
    renewed: bool = False
    """Whether the server took the last heartbeat, and nothing was heard of a failure since."""


class GoesOn(Oracle):
    """Every worker that lives beats, sweeps and asks for jobs at its intervals, faults or none.

    What one worker leaves undone the others make up for, so each is looked at alone. Each chore
    may take as long as its statements may until they time out, and is done also when it failed;
    a pull that failed may be followed by the longest back-off. Allowed: nothing is pulled by a
    worker that has jobs in hand or whose lease is in doubt, and nothing is done while it is
    stopped by a signal or on its way out. An agent leaves the sweeps to its server, see
    `ServersSweep`; what it does shows by the answers that it gets.
    """

    name = "goes on"
    invariant = 12

    def __init__(self, plan: Plan, facts: Facts) -> None:
        super().__init__(plan, facts)
        sizes = plan.sizes
        self._every_s = {
            BEAT: max(sizes.heartbeat_s, RETRY_S) + 2 * sizes.lease_s / 3 + SLACK_S,
            SWEEP: SWEEP_JITTER * sizes.sweep_s
            + STATEMENTS_PER_SWEEP * sizes.command_timeout_s
            + SLACK_S,
            ASK: sizes.poll_s + 2 * sizes.command_timeout_s + BACKOFF_LAST_S + SLACK_S,
        }
        self._lives: dict[UUID, _Chores] = {}

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {
            WorkerStarted: self._started,
            StatementRun: self._ran,
            Answered: self._was_answered,
            HeartbeatFailed: self._beat_failed,
            MaintenanceFailed: self._sweep_failed,
            PullFailed: self._pull_failed,
            LeaseDoubtful: self._doubts,
            BatchPulled: self._took,
            BatchAdopted: self._took,
            BatchStored: self._stored,
            OutcomeAbandoned: self._abandoned,
            OutcomeResumed: self._resumed,
            Drained: self._look_at_all,
        }

    def _started(self, _happening: Happening, event: WorkerStarted) -> None:
        agent = self.facts.is_agent(event.worker)
        chores = [chore for chore in self._every_s if not (agent and chore == SWEEP)]
        did_s = dict.fromkeys(chores, self.facts.now_s)
        self._lives[event.worker] = _Chores(did_s)

    def _ran(self, happening: Happening, event: StatementRun) -> None:
        process = self.facts.processes.get(happening.actor)
        chore = CHORES.get(event.name)
        if process is None or process.life is None or chore is None:
            return
        self._does(process.life, chore)
        if event.name == "heartbeat":
            self._beats(self._lives[process.life], took=event.rows > 0)

    def _was_answered(self, happening: Happening, event: Answered) -> None:
        process = self.facts.processes.get(happening.actor)
        chore = CHORES.get(event.path)
        if process is None or process.life is None or chore is None or event.status != OK:
            return
        self._does(process.life, chore)
        if event.path == "heartbeat":
            self._beats(self._lives[process.life], took=True)

    def _beats(self, chores: _Chores, *, took: bool) -> None:
        if chores.renewed and chores.fenced:
            chores.fenced = False
            chores.did_s[ASK] = self.facts.now_s
        chores.renewed = took

    def _beat_failed(self, _happening: Happening, event: HeartbeatFailed) -> None:
        self._does(event.worker, BEAT)
        self._lives[event.worker].renewed = False

    def _sweep_failed(self, _happening: Happening, event: MaintenanceFailed) -> None:
        if event.worker in self._lives:
            self._does(event.worker, SWEEP)

    def _pull_failed(self, _happening: Happening, event: PullFailed) -> None:
        self._does(event.worker, ASK)

    def _doubts(self, _happening: Happening, event: LeaseDoubtful) -> None:
        self._look(event.worker, ASK)
        self._lives[event.worker].fenced = True

    def _took(self, _happening: Happening, event: BatchPulled | BatchAdopted) -> None:
        self._lives[event.worker].in_hand += len(event.jobs)

    def _stored(self, _happening: Happening, event: BatchStored) -> None:
        self._leaves(event.worker, len(event.jobs))

    def _abandoned(self, _happening: Happening, event: OutcomeAbandoned) -> None:
        self._leaves(event.worker, 1)

    def _resumed(self, _happening: Happening, event: OutcomeResumed) -> None:
        self._lives[event.worker].in_hand += 1

    def _leaves(self, worker: UUID, jobs: int) -> None:
        self._lives[worker].in_hand -= jobs
        self._lives[worker].did_s[ASK] = self.facts.now_s

    def _does(self, worker: UUID, chore: str) -> None:
        self._look(worker, chore)
        self._lives[worker].did_s[chore] = self.facts.now_s

    def _look_at_all(self, *_: object) -> None:
        for worker in self._lives:
            for chore in self._lives[worker].did_s:
                self._look(worker, chore)

    def _look(self, worker: UUID, chore: str) -> None:
        chores, process = self._lives[worker], self.facts.process_of(worker)
        works = process is not None and process.alive and not process.paused and not process.stops
        if not works or process is None or process.life != worker:
            return
        if chore == ASK and (chores.in_hand or chores.fenced):
            return
        pause_s = self.facts.now_s - max(chores.did_s[chore], process.resumed_s)
        if pause_s > self._every_s[chore]:
            self.find(f"{process.name} {chore} no more: {pause_s:.2f} s since the last time")
