"""Leases kept and lost, lost replies, and what the server does to both."""

from collections import Counter
from collections.abc import Mapping
from uuid import UUID

from sim.counting.part import Part
from sim.database.rows import ClaimRow, WorkerRow
from sim.happenings import (
    BodyEnded,
    BodyStarted,
    ClockJumped,
    CommitLost,
    Committed,
    Happening,
    ServerDown,
    ServerUp,
    WorkerResumed,
)
from sim.oracles.base import Handler
from sim.oracles.facts import Facts
from sim.oracles.fence import is_renewal
from trioworker.events import (
    BatchAdopted,
    BatchPulled,
    BatchStored,
    Event,
    LeaseDoubtful,
    LeaseTaken,
    PullFailed,
)
from trioworker.model.transitions import Place


class Leases(Part):
    """Leases kept and lost, and what the server and its clock do to them."""

    states = (
        "a lease taken from a worker that lives",
        "a worker fenced itself and renewed its lease",
        "a worker fenced itself and lost its lease",
        "a worker paused for longer than its lease",
        "the server away for longer than a lease",
        "the server's clock set forward",
        "the server's clock set back",
        "a claim lost in a crash of the server",
        "a job running in two workers",
        "a job given up after too many lost workers",
        "a dead worker's claim reaped",
    )

    def __init__(self, facts: Facts, seen: Counter[str]) -> None:
        super().__init__(facts, seen)
        self._down_s: float | None = None
        self._doubtful: set[UUID] = set()
        self._running: dict[UUID, set[UUID]] = {}

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Part.handlers`."""
        return {
            Committed: self._committed,
            CommitLost: self._commit_lost,
            LeaseDoubtful: self._doubts,
            LeaseTaken: self._taken,
            WorkerResumed: self._resumed,
            ServerDown: self._down,
            ServerUp: self._up,
            ClockJumped: self._jumped,
            BodyStarted: self._starts,
            BodyEnded: self._ended,
        }

    def _committed(self, _happening: Happening, event: Committed) -> None:
        for change in event.changes:
            old, new = change.old, change.new
            if isinstance(old, WorkerRow) and isinstance(new, WorkerRow):
                self._worker(old, new)
        if self._facts.reapings:
            self._seen["a dead worker's claim reaped"] += 1
            if any(leaving.new.place is Place.COMPLETED for leaving in self._facts.reapings):
                self._seen["a job given up after too many lost workers"] += 1

    def _worker(self, old: WorkerRow, new: WorkerRow) -> None:
        process = self._facts.process_of(new.id)
        if old.lost_at is None and new.lost_at is not None:
            if process is not None and process.alive and process.life == new.id:
                self._seen["a lease taken from a worker that lives"] += 1
        elif is_renewal(old, new) and new.id in self._doubtful:
            self._doubtful.discard(new.id)
            self._seen["a worker fenced itself and renewed its lease"] += 1

    def _commit_lost(self, _happening: Happening, event: CommitLost) -> None:
        if any(isinstance(change.new, ClaimRow) for change in event.changes):
            self._seen["a claim lost in a crash of the server"] += 1

    def _doubts(self, _happening: Happening, event: LeaseDoubtful) -> None:
        self._doubtful.add(event.worker)

    def _taken(self, _happening: Happening, event: LeaseTaken) -> None:
        if event.worker in self._doubtful:
            self._seen["a worker fenced itself and lost its lease"] += 1

    @property
    def _lease_s(self) -> float:
        return max((row.lease_s for row in self._facts.workers.values()), default=0.0)

    def _resumed(self, happening: Happening, _event: object) -> None:
        process = self._facts.processes[happening.actor]
        if process.resumed_s - process.paused_s > self._lease_s > 0:
            self._seen["a worker paused for longer than its lease"] += 1

    def _down(self, happening: Happening, _event: object) -> None:
        self._down_s = happening.at_s

    def _up(self, happening: Happening, event: ServerUp) -> None:
        if event.health == "up" and self._down_s is not None:
            if happening.at_s - self._down_s > self._lease_s > 0:
                self._seen["the server away for longer than a lease"] += 1
            self._down_s = None

    def _jumped(self, _happening: Happening, event: ClockJumped) -> None:
        way = "forward" if event.seconds > 0 else "back"
        self._seen[f"the server's clock set {way}"] += 1

    def _starts(self, _happening: Happening, event: BodyStarted) -> None:
        running = self._running.setdefault(event.job, set())
        others = [process for each in running if (process := self._facts.process_of(each))]
        if any(process.alive and process.life != event.worker for process in others):
            self._seen["a job running in two workers"] += 1
        running.add(event.worker)

    def _ended(self, _happening: Happening, event: BodyEnded) -> None:
        self._running.get(event.job, set()).discard(event.worker)


class Pulls(Part):
    """How jobs come to a worker when something is wrong."""

    states = (
        "a lost reply adopted",
        "two workers adopting",
        "a pull from a standby",
        "a pull that failed with an unknown fate",
        "a job twice in the hands of one worker",
        "a job on its last chance claimed alone",
    )

    def __init__(self, facts: Facts, seen: Counter[str]) -> None:
        super().__init__(facts, seen)
        self._adopters: set[str] = set()
        self._in_hand: Counter[tuple[UUID, UUID]] = Counter()

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Part.handlers`."""
        return {
            BatchAdopted: self._adopted,
            BatchPulled: self._pulled,
            BatchStored: self._stored,
            PullFailed: self._failed,
        }

    def _adopted(self, happening: Happening, event: BatchAdopted) -> None:
        self._seen["a lost reply adopted"] += 1
        if self._adopters and happening.actor not in self._adopters:
            self._seen["two workers adopting"] += 1
        self._adopters.add(happening.actor)
        self._in_hand.update((event.worker, job) for job in event.jobs)

    def _pulled(self, _happening: Happening, event: BatchPulled) -> None:
        if any(self._in_hand[event.worker, job] > 0 for job in event.jobs):
            self._seen["a job twice in the hands of one worker"] += 1
        self._in_hand.update((event.worker, job) for job in event.jobs)
        if event.asked > len(event.jobs) == 1 and self._leaves_others(event.jobs[0]):
            self._seen["a job on its last chance claimed alone"] += 1

    def _leaves_others(self, job: UUID) -> bool:
        """Whether a job that has lost workers was claimed, and others were not that might be."""
        claim = self._facts.stands[job].row if job in self._facts.stands else None
        if not isinstance(claim, ClaimRow) or not claim.reaped[0]:
            return False
        due = [row for row in self._facts.ready.values() if row.scheduled_for <= claim.claimed_at]
        return any(row.tag == self._facts.jobs[job].tag for row in due)

    def _stored(self, _happening: Happening, event: BatchStored) -> None:
        self._in_hand.subtract((event.worker, job) for job in event.jobs)

    def _failed(self, _happening: Happening, event: PullFailed) -> None:
        if "read-only" in event.message:
            self._seen["a pull from a standby"] += 1
        if event.ambiguous:
            self._seen["a pull that failed with an unknown fate"] += 1
