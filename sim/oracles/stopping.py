"""How a worker ends: as it was asked to, in time, with nothing kept and nothing kept quiet."""

from collections import Counter
from collections.abc import Mapping
from typing import Final
from uuid import UUID

from sim.database.rows import WorkerRow
from sim.happenings import ApiCrashed, Committed, Happening, WorkerBorn, WorkerCrashed, WorkerExited
from sim.oracles.base import Handler, Oracle
from sim.oracles.facts import Facts
from sim.plan import Plan
from trioworker.cli.exits import ExitStatus
from trioworker.errors import UnknownStoreError
from trioworker.events import (
    BatchAdopted,
    BatchPulled,
    BatchStored,
    Event,
    JobEnded,
    JobStarted,
    LeaseTaken,
    RequestFailed,
    WorkerStarted,
    WorkerStopped,
    WorkerStopping,
)

STUBBORN_S: Final = 2.0
"""How long a body may ignore that it was cancelled."""
SLACK_S: Final = 0.5
AT_ONCE_S: Final = 0.05


class NothingHeld(Oracle):
    """Invariant 13: after a graceful stop nothing of this worker is claimed that it did not report.

    Neither then nor when it says goodbye, for from that moment on others take what it holds.
    Allowed: a claim whose reply never came, for the worker does not know its jobs; whoever comes
    next finds the worker stopped, and takes them. So it is with a lease that was taken away: what
    it was for is others' already. A second signal is no graceful stop.
    """

    name = "nothing held"
    invariant = 13

    def __init__(self, plan: Plan, facts: Facts) -> None:
        super().__init__(plan, facts)
        self._known: set[tuple[UUID, UUID]] = set()
        self._held_at_goodbye: dict[UUID, list[UUID]] = {}

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {
            BatchPulled: self._took,
            BatchAdopted: self._took,
            BatchStored: self._stored,
            Committed: self._committed,
            LeaseTaken: self._taken_away,
            WorkerExited: self._exited,
        }

    def _taken_away(self, _happening: Happening, event: LeaseTaken) -> None:
        self._known = {known for known in self._known if known[0] != event.worker}

    def _took(self, _happening: Happening, event: BatchPulled | BatchAdopted) -> None:
        self._known.update((event.worker, job) for job in event.jobs)

    def _stored(self, _happening: Happening, event: BatchStored) -> None:
        """What it claims of them after that it knows only once it is told."""
        self._known.difference_update((event.worker, job) for job in event.jobs)

    def _committed(self, _happening: Happening, event: Committed) -> None:
        for change in event.changes:
            row = change.new
            if isinstance(row, WorkerRow) and row.stopped_at is not None:
                self._held_at_goodbye.setdefault(row.id, self._held(row.id))

    def _held(self, worker: UUID) -> list[UUID]:
        """What it has claimed and knows of."""
        return [
            job
            for claim in self.facts.claims_of(worker)
            for job in claim.ids
            if (worker, job) in self._known
        ]

    def _exited(self, happening: Happening, event: WorkerExited) -> None:
        process = self.facts.processes[happening.actor]
        life = process.life
        if life is None or process.stops > 1:
            return
        held = [*self._held_at_goodbye.get(life, ()), *self._held(life)]
        held = [job for job in held if job not in event.unsaved]
        if held:
            self.find(f"{happening.actor} stopped and kept quiet of {len(held)} jobs, as {held[0]}")


class StopsInTime(Oracle):
    """A stop ends within its grace period and the time to flush, whatever the database does.

    Then it may take `flush_s` again to say goodbye. Allowed on top: a body that ignores being
    cancelled, the time that the process is itself stopped by a signal, and a registration that
    was under way, which ends with its statement's timeout.
    """

    name = "stops in time"

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {WorkerExited: self._exited, WorkerCrashed: self._exited}

    def at_the_end(self) -> None:
        """See `Oracle.at_the_end`."""
        for process in self.facts.processes.values():
            if process.alive and process.stops:
                self.find(f"{process.name} was asked to stop and never did")

    def _exited(self, happening: Happening, _event: object) -> None:
        process = self.facts.processes[happening.actor]
        if not process.stops:
            return
        sizes = self.plan.sizes
        may_take_s = sizes.grace_s + 2 * sizes.flush_s + STUBBORN_S + SLACK_S + process.paused_for_s
        if process.started_s < process.born_s:
            may_take_s += sizes.command_timeout_s
        took_s = self.facts.now_s - process.stop_asked_s
        if took_s > may_take_s:
            self.find(f"{happening.actor} took {took_s:.2f} s to stop, over {may_take_s:.2f} s")


class StartsNothingMore(Oracle):
    """From the moment a worker stops, it begins no job: what has not started goes back at once."""

    name = "starts nothing more"
    invariant = 13

    def __init__(self, plan: Plan, facts: Facts) -> None:
        super().__init__(plan, facts)
        self._stopping: set[UUID] = set()

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {WorkerStopping: self._stops, JobStarted: self._started}

    def _stops(self, _happening: Happening, event: WorkerStopping) -> None:
        self._stopping.add(event.worker)

    def _started(self, _happening: Happening, event: JobStarted) -> None:
        if event.worker in self._stopping:
            self.find(f"worker {event.worker} began job {event.job} although it stops")


class GivesBackAtOnce(Oracle):
    """Invariant 13: what has not begun when a worker stops goes back at once, not after the grace.

    At once is as soon as the commit stage has room for it, however busy the slots are.
    """

    name = "gives back at once"
    invariant = 13

    def __init__(self, plan: Plan, facts: Facts) -> None:
        super().__init__(plan, facts)
        self._stopping_s: dict[UUID, float] = {}
        self._unstarted: dict[UUID, dict[UUID, float]] = {}
        self._unsettled: Counter[UUID] = Counter()
        self._room_since_s: dict[UUID, float] = {}

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {
            BatchPulled: self._took,
            BatchAdopted: self._took,
            JobStarted: self._started,
            JobEnded: self._ended,
            BatchStored: self._stored,
            WorkerStopping: self._stops,
            WorkerStopped: self._stopped,
        }

    def _took(self, _happening: Happening, event: BatchPulled | BatchAdopted) -> None:
        unstarted = self._unstarted.setdefault(event.worker, {})
        unstarted.update(dict.fromkeys(event.jobs, self.facts.now_s))

    def _started(self, _happening: Happening, event: JobStarted) -> None:
        self._unstarted.get(event.worker, {}).pop(event.job, None)

    def _ended(self, _happening: Happening, event: JobEnded) -> None:
        if event.job in self._unstarted.get(event.worker, {}):
            self._check(event.worker, event.job)
        self._unsettled[event.worker] += 1

    def _stored(self, _happening: Happening, event: BatchStored) -> None:
        full = self._unsettled[event.worker] >= self._cap
        self._unsettled[event.worker] -= len(event.jobs)
        if full and self._unsettled[event.worker] < self._cap:
            self._room_since_s[event.worker] = self.facts.now_s

    def _stops(self, _happening: Happening, event: WorkerStopping) -> None:
        self._stopping_s[event.worker] = self.facts.now_s

    def _stopped(self, _happening: Happening, event: WorkerStopped) -> None:
        for job in list(self._unstarted.get(event.worker, ())):
            self._check(event.worker, job)

    @property
    def _cap(self) -> int:
        """How many outcomes may gather."""
        return self.plan.sizes.commit

    def _check(self, worker: UUID, job: UUID) -> None:
        came_s = self._unstarted[worker].pop(job)
        stopping_s = self._stopping_s.get(worker)
        if stopping_s is None or self._unsettled[worker] >= self._cap:
            return
        process = self.facts.process_of(worker)
        free_s = max(stopping_s, came_s, self._room_since_s.get(worker, 0.0))
        late_s = self.facts.now_s - max(free_s, process.resumed_s if process else free_s)
        if late_s > AT_ONCE_S:
            self.find(f"job {job} was given back {late_s:.2f} s after its worker could have")


class ExitsAsPromised(Oracle):
    """A process ends when it is asked to, or drains and has drained all; its exit status says how.

    0 when all is stored, 3 when some is not, which is then listed. 4 when the database could not
    be reached at the very start, and never later: a worker outlives any outage.
    """

    name = "exits as promised"

    def __init__(self, plan: Plan, facts: Facts) -> None:
        super().__init__(plan, facts)
        self._lives: dict[str, int] = {}

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {
            WorkerBorn: self._born,
            WorkerStarted: self._started,
            WorkerExited: self._exited,
        }

    def _born(self, happening: Happening, _event: object) -> None:
        self._lives[happening.actor] = 0

    def _started(self, happening: Happening, _event: object) -> None:
        self._lives[happening.actor] += 1

    def _exited(self, happening: Happening, event: WorkerExited) -> None:
        actor = happening.actor
        asked = self.facts.processes[actor].stops > 0
        if event.status == ExitStatus.UNREACHABLE:
            if self._lives[actor]:
                self.find(f"{actor} gave up because the database was away")
            elif not self.facts.troubles:
                self.find(f"{actor} did not find a database that was there")
            return
        expected = ExitStatus.UNSAVED if event.unsaved else ExitStatus.OK
        if event.status != expected:
            self.find(f"{actor} exited with {event.status} and {len(event.unsaved)} unsaved")
        if not asked and not self._dry():
            self.find(f"{actor} exited although nobody had asked it to")

    def _dry(self) -> bool:
        """Whether workers of this plan end by themselves, and nothing is left for them."""
        return self.plan.sizes.drain and not self.facts.ready and not self.facts.claims


class NothingUnexpected(Oracle):
    """No error leaves a worker but those that it is meant to raise, not even in a group.

    Nor does one leave a server, or one of its endpoints: but for what the database alone can
    explain, which the server tells, and the agent hears of as broken.
    """

    name = "nothing unexpected"

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {
            WorkerCrashed: self._crashed,
            ApiCrashed: self._crashed,
            RequestFailed: self._failed,
        }

    def _crashed(self, happening: Happening, event: WorkerCrashed | ApiCrashed) -> None:
        self.find(f"{happening.actor} crashed: {event.error}")

    def _failed(self, happening: Happening, event: RequestFailed) -> None:
        if not event.message.startswith(UnknownStoreError.__name__):
            self.find(f"{happening.actor} failed in {event.route}: {event.message}")
