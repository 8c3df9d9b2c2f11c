"""What `sim.counters` counts, in parts: each state where what it takes to notice it is remembered.

Rule of this file: it looks at the same happenings as the oracles, and has no opinion on them.
"""

from collections import Counter
from collections.abc import Mapping
from typing import ClassVar, Final
from uuid import UUID

from sim.database.rows import ClaimRow, CompletedRow, WorkerRow
from sim.happenings import (
    BodyEnded,
    BodyStarted,
    ClockJumped,
    CommitLost,
    Committed,
    Happening,
    ServerDown,
    ServerUp,
    StopAsked,
    WorkerExited,
    WorkerKilled,
    WorkerResumed,
)
from sim.oracles.base import Handler
from sim.oracles.facts import Facts
from sim.oracles.fallback import Group
from sim.oracles.fence import is_renewal
from trioworker.cli.exits import ExitStatus
from trioworker.events import (
    BatchAdopted,
    BatchPulled,
    BatchStored,
    CancelReceived,
    CommitFailed,
    Event,
    JobEnded,
    JobStarted,
    LeaseDoubtful,
    LeaseTaken,
    OutcomeRefused,
    PullFailed,
    WorkerStopping,
)
from trioworker.model.failures import Failure, Step
from trioworker.model.transitions import Place

IN_BETWEEN: Final = 3
"""A batch needs this many jobs for one to be in the middle."""


class Part:
    """Some states that share what they remember. `seen` counts them."""

    states: ClassVar[tuple[str, ...]]

    def __init__(self, facts: Facts, seen: Counter[str]) -> None:
        self._facts = facts
        self._seen = seen

    def handlers(self) -> Mapping[type[Event], Handler]:
        """Which events it looks at, and with what."""
        raise NotImplementedError


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

    def _stored(self, _happening: Happening, event: BatchStored) -> None:
        self._in_hand.subtract((event.worker, job) for job in event.jobs)

    def _failed(self, _happening: Happening, event: PullFailed) -> None:
        if "read-only" in event.message:
            self._seen["a pull from a standby"] += 1
        if event.ambiguous:
            self._seen["a pull that failed with an unknown fate"] += 1


class Commits(Part):
    """Failed commits and what became of their jobs."""

    states = (
        "an ambiguous commit found stored",
        "an ambiguous commit stored by the retry",
        "a batch tried again as a whole and stored",
        "a batch divided because it was refused",
        "a batch divided because it failed twice",
        "a poison in the middle of a per-job fallback",
        "a poison found by halving",
        "a batch of poison only",
        "a poison on its own",
        "an outcome of a worker without its claim dropped",
        "outcomes back to ready: retried",
        "outcomes back to ready: snoozed or interrupted",
    )

    def __init__(self, facts: Facts, seen: Counter[str]) -> None:
        super().__init__(facts, seen)
        self._failed_as: dict[tuple[UUID, Group], list[CommitFailed]] = {}
        self._in_doubt: dict[tuple[UUID, Group], bool] = {}
        self._stored_by: set[tuple[UUID, UUID]] = set()
        self._divided: dict[tuple[UUID, UUID], list[Group]] = {}
        self._refused: dict[tuple[UUID, Group], set[UUID]] = {}

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Part.handlers`."""
        return {
            Committed: self._committed,
            CommitFailed: self._failed,
            BatchStored: self._stored,
            OutcomeRefused: self._was_refused,
        }

    def _committed(self, *_: object) -> None:
        for job, worker, old, new in self._facts.outcomes:
            self._stored_by.add((worker, job))
            if new.place is Place.READY:
                how = "retried" if new.attempt > old.attempt else "snoozed or interrupted"
                self._seen[f"outcomes back to ready: {how}"] += 1

    def _failed(self, _happening: Happening, event: CommitFailed) -> None:
        group = tuple(event.jobs)
        self._failed_as.setdefault((event.worker, group), []).append(event)
        if event.ambiguous:
            stored = all((event.worker, job) in self._stored_by for job in group)
            self._in_doubt[event.worker, group] = stored
        if event.step == Step.DIVIDE:
            why = "was refused" if event.failure == Failure.REFUSED else "failed twice"
            self._seen[f"a batch divided because it {why}"] += 1
            for job in group:
                self._divided.setdefault((event.worker, job), []).append(group)

    def _stored(self, _happening: Happening, event: BatchStored) -> None:
        key = (event.worker, tuple(event.jobs))
        if event.lost:
            self._seen["an outcome of a worker without its claim dropped"] += 1
        failures = self._failed_as.pop(key, ())
        if failures and len(event.jobs) > 1:
            self._seen["a batch tried again as a whole and stored"] += 1
        in_doubt = self._in_doubt.pop(key, None)
        if in_doubt is not None and not event.lost:
            how = "found stored" if in_doubt else "stored by the retry"
            self._seen[f"an ambiguous commit {how}"] += 1
        for job in event.jobs:
            self._divided.pop((event.worker, job), None)

    def _was_refused(self, _happening: Happening, event: OutcomeRefused) -> None:
        groups = self._divided.get((event.worker, event.job))
        if groups is None:
            self._seen["a poison on its own"] += 1
            return
        if len(groups) > 1:
            self._seen["a poison found by halving"] += 1
        elif len(groups[0]) >= IN_BETWEEN and event.job not in (groups[0][0], groups[0][-1]):
            self._seen["a poison in the middle of a per-job fallback"] += 1
        refused = self._refused.setdefault((event.worker, groups[0]), set())
        refused.add(event.job)
        if len(refused) == len(groups[0]):
            self._seen["a batch of poison only"] += 1


class Ends(Part):
    """How workers and single jobs end before their time."""

    states = (
        "a crash between execution and commit",
        "a commit of a dead worker that takes effect",
        "a commit of a paused worker that takes effect",
        "a stop that ends with unsaved results",
        "a stop that ends with everything stored",
        "a stop while the server is down",
        "a second signal",
        "a database that cannot be reached at the start",
        "jobs given back that had not begun",
        "a running job interrupted by a stop",
        "a job cancelled in ready",
        "a job cancelled while it waits in a worker",
        "a job cancelled while it runs",
        "a cancelled job stored as canceled by its worker",
    )

    def __init__(self, facts: Facts, seen: Counter[str]) -> None:
        super().__init__(facts, seen)
        self._begun: set[tuple[UUID, UUID]] = set()
        self._over: Counter[UUID] = Counter()
        self._stopping: set[UUID] = set()
        self._server_is_down = False

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Part.handlers`."""
        return {
            JobStarted: self._started,
            JobEnded: self._ended,
            BatchStored: self._stored,
            Committed: self._committed,
            WorkerKilled: self._killed,
            WorkerStopping: self._stops,
            StopAsked: self._stop_asked,
            WorkerExited: self._exited,
            ServerDown: self._down,
            ServerUp: self._up,
            CancelReceived: self._cancelled,
        }

    def _started(self, _happening: Happening, event: JobStarted) -> None:
        self._begun.add((event.worker, event.job))

    def _ended(self, _happening: Happening, event: JobEnded) -> None:
        key = (event.worker, event.job)
        self._over[event.worker] += 1
        if event.outcome == "Interrupted" and event.worker in self._stopping:
            begun = key in self._begun
            what = "a running job interrupted by a stop"
            self._seen[what if begun else "jobs given back that had not begun"] += 1
        self._begun.discard(key)

    def _stored(self, _happening: Happening, event: BatchStored) -> None:
        self._over[event.worker] -= len(event.jobs)

    def _committed(self, happening: Happening, event: Committed) -> None:
        process = self._facts.processes.get(happening.actor)
        if process is not None and self._facts.outcomes:
            if not process.alive:
                self._seen["a commit of a dead worker that takes effect"] += 1
            elif process.paused:
                self._seen["a commit of a paused worker that takes effect"] += 1
        for change in event.changes:
            row = change.new
            if isinstance(row, CompletedRow) and row.status == "canceled":
                by_worker = "a cancelled job stored as canceled by its worker"
                by = "a job cancelled in ready" if row.worker is None else by_worker
                self._seen[by] += 1

    def _killed(self, happening: Happening, _event: object) -> None:
        life = self._facts.processes[happening.actor].life
        if life is not None and self._over[life]:
            self._seen["a crash between execution and commit"] += 1

    def _stops(self, _happening: Happening, event: WorkerStopping) -> None:
        self._stopping.add(event.worker)

    def _stop_asked(self, happening: Happening, _event: object) -> None:
        if self._server_is_down:
            self._seen["a stop while the server is down"] += 1
        if self._facts.processes[happening.actor].stops > 1:
            self._seen["a second signal"] += 1

    def _exited(self, _happening: Happening, event: WorkerExited) -> None:
        what = {
            ExitStatus.UNSAVED: "a stop that ends with unsaved results",
            ExitStatus.OK: "a stop that ends with everything stored",
            ExitStatus.UNREACHABLE: "a database that cannot be reached at the start",
        }
        self._seen[what[ExitStatus(event.status)]] += 1

    def _down(self, *_: object) -> None:
        self._server_is_down = True

    def _up(self, _happening: Happening, event: ServerUp) -> None:
        self._server_is_down = event.health != "up"

    def _cancelled(self, _happening: Happening, event: CancelReceived) -> None:
        runs = (event.worker, event.job) in self._begun
        self._seen[f"a job cancelled while it {'runs' if runs else 'waits in a worker'}"] += 1


PARTS: Final[tuple[type[Part], ...]] = (Leases, Pulls, Commits, Ends)
