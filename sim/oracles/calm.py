"""What goes wrong only where something is wrong, and stays bounded even there."""

from collections import deque
from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from sim.database.models.limits import limit_of
from sim.database.rows import CancelRow, CompletedRow, JobRow, StepRow, WaitingRow
from sim.happenings import (
    Answered,
    Committed,
    ConnectFailed,
    Enqueued,
    Happening,
    KeptOut,
    RowChange,
)
from sim.oracles.base import Handler, Oracle
from sim.oracles.facts import Facts
from sim.oracles.retries import options_of
from sim.plan import Plan
from trioworker.events import (
    BatchAdopted,
    BatchPulled,
    BatchStored,
    CommitFailed,
    Event,
    FlushFailed,
    HeartbeatFailed,
    JobsReaped,
    LeaseDoubtful,
    LeaseTaken,
    LookupFailed,
    MaintenanceFailed,
    PullFailed,
    RequestServed,
    StatementRun,
    WorkflowFailed,
)
from trioworker.model.failures import Failure
from trioworker.store.postgres.store import READY_CHANNEL

DEADLOCK: Final = "deadlock detected"
"""What PostgreSQL, and the model of it, says of one; a planned fault has other words."""
WINDOW_S: Final = 2.0
STATEMENTS_MAX: Final = 200
STATEMENTS_PER_JOB: Final = 2
STATEMENTS_PER_HINT: Final = 3
STATEMENTS_PER_FOLLOWED: Final = 4
STATEMENTS_PER_KEY: Final = 6
STATEMENTS_PER_SLOT: Final = 9
"""Four free the slot and let in the next, some look for that one, and some whether it is time."""
STATEMENTS_PER_CHILD: Final = 10
"""Of a child or a step of a function: to store it, to look for its end, to pull it, and to cancel
it when its parent has left it behind."""
STATEMENTS_PER_LOOK: Final = 6
"""All workers that know when a job in line is due look then; one of them lets it in."""
STATEMENTS_PER_REQUEST: Final = 20
"""Whose token it is and whose worker; the jobs that are meant; and a commit has several."""
STATEMENTS_PER_TICK: Final = 6
STATEMENTS_PER_STEP: Final = 18
"""Three note how a tick's job has ended and enqueue the next, and some look for that one."""


class Quiet(Oracle):
    """As long as no fault has fired nothing fails, no lease is in doubt and no outcome is lost.

    Allowed: a refused outcome, which is the job's doing; and after a graceful stop, what it could
    not flush in its time is taken back by others.
    """

    name = "quiet"

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {
            PullFailed: self._failed,
            HeartbeatFailed: self._failed,
            MaintenanceFailed: self._failed,
            FlushFailed: self._failed,
            WorkflowFailed: self._failed,
            LookupFailed: self._failed,
            LeaseDoubtful: self._failed,
            LeaseTaken: self._failed,
            BatchAdopted: self._failed,
            CommitFailed: self._commit_failed,
            JobsReaped: self._taken_back,
            BatchStored: self._stored,
        }

    def _failed(self, happening: Happening, event: Event) -> None:
        if not self.facts.troubles:
            self.find(f"{happening.actor} met {type(event).__name__} in a world without faults")

    def _commit_failed(self, happening: Happening, event: CommitFailed) -> None:
        if event.failure != Failure.REFUSED:
            self._failed(happening, event)

    def _taken_back(self, happening: Happening, event: JobsReaped) -> None:
        if not self.facts.stops:
            self._failed(happening, event)

    def _stored(self, happening: Happening, event: BatchStored) -> None:
        if event.lost and not self.facts.stops and not self.facts.troubles:
            self.find(
                f"{happening.actor} lost {len(event.lost)} outcomes in a world without faults"
            )


FAILURES: Final = (
    PullFailed, CommitFailed, HeartbeatFailed, MaintenanceFailed, FlushFailed, WorkflowFailed,
)  # fmt: skip
"""What a worker says when a transaction of its failed."""


class NoDeadlock(Oracle):
    """Our own transactions never wait for each other in a circle: they lock in one order."""

    name = "no deadlock"

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return dict.fromkeys(FAILURES, self._failed)

    def _failed(self, happening: Happening, event: Any) -> None:  # noqa: ANN401 - one of `FAILURES`
        if DEADLOCK in event.message:
            self.find(f"{happening.actor} ran into a deadlock")


class NoStorm(Oracle):
    """A worker asks the server for no more than its work needs, least of all when it fails.

    In any two seconds: what it would ask when idle, with room for back-offs that begin again,
    and a few statements for each job that it takes or stores, for each hint that wakes it, and for
    each job in line whose time has come, though another lets it in. The same of an agent and its
    requests; its server asks for it, so many statements for each. A loop that forgets to pause
    asks ten times as much.
    """

    name = "no storm"

    def __init__(self, plan: Plan, facts: Facts) -> None:
        super().__init__(plan, facts)
        self._asked: dict[str, deque[float]] = {}
        self._earned: dict[str, deque[tuple[float, int]]] = {}
        self._hints: deque[tuple[float, int]] = deque()
        self._told: set[str] = set()

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        asked = (StatementRun, ConnectFailed, CommitFailed, PullFailed, HeartbeatFailed, Answered)
        moved = (BatchPulled, BatchAdopted, BatchStored)
        return {
            **dict.fromkeys((*asked, MaintenanceFailed), self._ask),
            **dict.fromkeys(moved, self._earn),
            Committed: self._committed,
            Enqueued: self._enqueued,
            KeptOut: self._enqueued,
            RequestServed: self._served,
        }

    def _served(self, happening: Happening, _event: object) -> None:
        """A server asks for others: what they may ask it is bounded already."""
        earned = (self.facts.now_s, STATEMENTS_PER_REQUEST)
        self._earned.setdefault(happening.actor, deque()).append(earned)

    def _enqueued(self, happening: Happening, event: Enqueued | KeptOut) -> None:
        """Who enqueues with a key asks who holds it, and perhaps again."""
        if self.plan.keys:
            jobs = len(event.jobs) if isinstance(event, Enqueued) else 1
            earned = (self.facts.now_s, STATEMENTS_PER_KEY * jobs)
            self._earned.setdefault(happening.actor, deque()).append(earned)

    def _committed(self, _happening: Happening, event: Committed) -> None:
        hints = STATEMENTS_PER_HINT * sum(channel == READY_CHANNEL for channel, _ in event.notified)
        hints += STATEMENTS_PER_CHILD * sum(map(self._is_of_a_family, event.changes))
        hints += STATEMENTS_PER_LOOK * sum(map(_lets_in, event.changes))
        if hints:
            self._hints.append((self.facts.now_s, hints))

    def _is_of_a_family(self, change: RowChange) -> bool:
        """Whether a function has done this step, or enqueued this child, or left it behind."""
        match change.old, change.new:
            case None, StepRow():
                return True
            case None, JobRow(parent=parent, awaited=awaited):
                return parent is not None and awaited
            case (CompletedRow(id=job), None) | (None, CancelRow(id=job)):
                row = self.facts.jobs.get(job)
                return row is not None and row.parent is not None and row.awaited
        return False

    def _earn(self, happening: Happening, event: BatchPulled | BatchAdopted | BatchStored) -> None:
        jobs = STATEMENTS_PER_JOB * len(event.jobs)
        if isinstance(event, BatchStored):
            jobs += STATEMENTS_PER_SLOT * sum(map(self._is_limited, event.jobs))
            jobs += STATEMENTS_PER_FOLLOWED * sum(map(self._is_followed, event.jobs))
            jobs += STATEMENTS_PER_TICK * sum(map(self._is_tick, event.jobs))
            jobs += STATEMENTS_PER_STEP * sum(map(self._moves_a_flow, event.jobs))
        self._earned.setdefault(happening.actor, deque()).append((self.facts.now_s, jobs))

    def _is_limited(self, job: UUID) -> bool:
        row = self.facts.jobs.get(job)
        return row is not None and limit_of(row) is not None

    def _is_followed(self, job: UUID) -> bool:
        options = options_of(self.facts, job)
        return options.restart or options.on_error is not None

    def _is_tick(self, job: UUID) -> bool:
        return options_of(self.facts, job).schedule is not None

    def _moves_a_flow(self, job: UUID) -> bool:
        if not self.facts.has_flows:
            return False
        row = self.facts.known.get(job)
        is_flow = row is not None and row.kind == "flow"
        return is_flow or options_of(self.facts, job).step is not None

    def _ask(self, happening: Happening, _event: object) -> None:
        actor, now_s = happening.actor, self.facts.now_s
        asked = self._asked.setdefault(actor, deque())
        asked.append(now_s)
        while asked[0] < now_s - WINDOW_S:
            asked.popleft()
        if len(asked) > STATEMENTS_MAX and actor not in self._told:
            earned = self._earned.get(actor, deque())
            if len(asked) > STATEMENTS_MAX + _sum(earned, now_s) + _sum(self._hints, now_s):
                self._told.add(actor)
                self.find(f"{actor} asked the server {len(asked)} times in {WINDOW_S:g} s")


def _lets_in(change: RowChange) -> bool:
    """Whether a job leaves the line."""
    return isinstance(change.old, WaitingRow) and change.old.key is not None and change.new is None


def _sum(entries: deque[tuple[float, int]], now_s: float) -> int:
    """What was noted in the window that ends now; older entries go."""
    while entries and entries[0][0] < now_s - WINDOW_S:
        entries.popleft()
    return sum(count for _, count in entries)
