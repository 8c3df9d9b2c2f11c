"""Batches: only where they are allowed, in order, bounded, and no larger than can be started."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from sim.database.rows import ClaimRow, CompletedRow, LogRow, ProgressRow, ReadyRow
from sim.families import FAMILIES
from sim.happenings import (
    BodyStarted,
    CancelAsked,
    Committed,
    FaultFired,
    Happening,
)
from sim.oracles.base import Handler, Oracle
from sim.oracles.facts import LONG_AGO_S, Facts, Leaving, may_be_replaced, ranks_of
from sim.plan import Plan, commits_at_once
from trioworker.events import (
    BatchAdopted,
    BatchPulled,
    BatchStored,
    CommitFailed,
    Event,
    JobEnded,
    JobStarted,
    OutcomeAbandoned,
    OutcomeResumed,
    StatementRun,
)
from trioworker.model.batching import BatchPolicy
from trioworker.model.planner import FLOOR_AGE_MAX_S

COMES_AGAIN: Final = ("request twice", "request late", "bad gateway")
PULL: Final = "pull#"
DOUBLED_S: Final = 20.0
"""How long a pull that comes twice, or late, may be under way."""
LATE_S: Final = 1e-6
"""Less than any latency: for comparing two times that were computed in different ways."""


class BatchesGated(Oracle):
    """Invariant 8: no statement claims or stores more jobs than the mode and the policy allow.

    One outside agent-batch; in it the sizes that were asked for. Under the simple policy what is
    no plain success is stored alone. None has a job twice, which would let two outcomes through
    one fence. Adopting a claim returns as many as the claim has.
    """

    name = "batches gated"
    invariant = 8

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {
            StatementRun: self._ran,
            BatchStored: self._tried,
            CommitFailed: self._tried,
            Committed: self._committed,
        }

    def _tried(self, happening: Happening, event: BatchStored | CommitFailed) -> None:
        if len(set(event.jobs)) < len(event.jobs):
            self.find(f"{happening.actor} had a job twice in a transaction of {len(event.jobs)}")

    def _ran(self, happening: Happening, event: StatementRun) -> None:
        sizes = self.plan.sizes
        caps = {"pull": sizes.pull, "commit": sizes.commit, "store_running": sizes.commit}
        cap = caps.get(event.name)
        if cap is not None and event.jobs > (cap if sizes.mode.batches else 1):
            self.find(f"{happening.actor} ran {event.name} for {event.jobs} jobs in {sizes.mode}")

    def _committed(self, happening: Happening, event: Committed) -> None:
        sizes = self.plan.sizes
        for change in event.changes:
            if isinstance(change.new, ClaimRow) and change.old is None:
                handed = {move.job for move in self.facts.moves if move.old is None}
                most = sizes.commit if handed.issuperset(change.new.ids) else sizes.pull
                cap = most if sizes.mode.batches else 1
                if len(change.new.ids) > cap:
                    self.find(f"{happening.actor} claimed {len(change.new.ids)} jobs at once")
        stored = self.facts.outcomes
        if len(stored) > (sizes.commit if sizes.mode.batches else 1):
            self.find(f"{happening.actor} stored {len(stored)} jobs at once")
        if len(stored) > 1 and sizes.policy is BatchPolicy.SIMPLE:
            said = (LogRow, ProgressRow)
            logged = {row.id for change in event.changes if isinstance(row := change.new, said)}
            for leaving in stored:
                if leaving.job in logged or not self._is_simple(leaving):
                    self.find(f"job {leaving.job} is not simple and was stored with others")

    def _is_simple(self, leaving: Leaving) -> bool:
        row = leaving.new.row
        awaited = self.facts.jobs[leaving.job].awaited
        return isinstance(row, CompletedRow) and row.status == "success" and not awaited


class _Passed(NamedTuple):
    """A job that a pull passed over although its claim has a worse one."""

    job: UUID
    free_since_s: float


class LastChance(Oracle):
    """A job whose next loss would give it up is claimed alone, and nothing is pulled beside it.

    Else what kills its worker may be another job, which it would be given up for. Allowed: what its
    worker has pulled before goes on; and with a limit of 0 there is no chance to protect.
    """

    name = "last chance"

    def __init__(self, plan: Plan, facts: Facts) -> None:
        super().__init__(plan, facts)
        self._claims: dict[UUID, ClaimRow] = {}
        self._in_hand: set[tuple[UUID, UUID]] = set()

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {
            Committed: self._committed,
            BatchPulled: self._pulled,
            BatchAdopted: self._adopted,
            BatchStored: self._stored,
            OutcomeAbandoned: self._abandoned,
        }

    def _committed(self, _happening: Happening, event: Committed) -> None:
        limit = max(1, self.plan.sizes.reaped_max)
        for change in event.changes:
            claim = change.new
            if not isinstance(claim, ClaimRow) or change.old is not None:
                continue
            if any(reaped >= limit for reaped in claim.reaped):
                self._claims[claim.id] = claim
                if len(claim.ids) > 1:
                    self.find(f"claim {claim.id} has a last chance among {len(claim.ids)} jobs")

    def _pulled(self, _happening: Happening, event: BatchPulled) -> None:
        for worker, job in sorted(self._in_hand):
            if worker == event.worker:
                self.find(f"worker {worker} pulled beside job {job}, which is on its last chance")
        if event.claim in self._claims:
            self._in_hand.update((event.worker, job) for job in event.jobs)

    def _adopted(self, _happening: Happening, event: BatchAdopted) -> None:
        mine = [claim for claim in self._claims.values() if claim.worker == event.worker]
        held = {job for claim in mine for job in claim.ids}
        self._in_hand.update((event.worker, job) for job in event.jobs if job in held)

    def _stored(self, _happening: Happening, event: BatchStored) -> None:
        self._in_hand.difference_update((event.worker, job) for job in event.jobs)

    def _abandoned(self, _happening: Happening, event: OutcomeAbandoned) -> None:
        self._in_hand.discard((event.worker, event.job))


class InOrder(Oracle):
    """Invariant 9: of the due jobs of a worker's tags, none is claimed before a better one.

    Better is: a tag that this worker ranks higher, then a higher priority, then due earlier, then
    the smaller id. Allowed: a floor hides a job that came (or came back) within `FLOOR_AGE_MAX_S`
    before the pull was sent, or since; a client that cancels a job, or stores another one with its
    key, may have its row locked, and so may a worker that cancels what a parent has left behind; a
    pull whose reply was lost tells nobody when it was sent, and is not judged; the pull of an agent
    that comes again may wait for the end of its claim, and holds what it would take.
    """

    name = "in order"
    invariant = 9

    def __init__(self, plan: Plan, facts: Facts) -> None:
        super().__init__(plan, facts)
        self._passed: dict[UUID, Sequence[_Passed]] = {}
        self._cancelled: set[UUID] = set()
        self._doubled_s = LONG_AGO_S

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {
            Committed: self._committed,
            BatchPulled: self._pulled,
            CancelAsked: self._cancel_asked,
            FaultFired: self._fired,
        }

    def _fired(self, _happening: Happening, event: FaultFired) -> None:
        if PULL in event.fault and event.fault.startswith(COMES_AGAIN):
            self._doubled_s = self.facts.now_s

    def _cancel_asked(self, _happening: Happening, event: CancelAsked) -> None:
        self._cancelled.update(event.jobs)

    def _committed(self, _happening: Happening, event: Committed) -> None:
        for change in event.changes:
            if isinstance(change.new, ClaimRow) and change.old is None:
                self._passed[change.new.id] = self._passed_over(change.new)

    def _passed_over(self, claim: ClaimRow) -> Sequence[_Passed]:
        ranks = ranks_of(self.facts.workers[claim.worker])
        claimed = [
            old.row for _, old, _ in self.facts.moves if old and isinstance(old.row, ReadyRow)
        ]
        if not claimed:
            return ()  # it was handed over
        worst = max(_place(row, ranks) for row in claimed)
        return [
            _Passed(row.id, self.facts.ready_since_s[row.id])
            for row in self.facts.ready.values()
            if row.tag in ranks
            and row.scheduled_for <= claim.claimed_at
            and _place(row, ranks) < worst
            and not self._may_be_locked(row.id)
        ]

    def _may_be_locked(self, job: UUID) -> bool:
        if self.facts.now_s < self._doubled_s + DOUBLED_S:
            return True
        above = [one for one in self.facts.lineage(job) if one != job]
        if any(self.facts.known[one].path in FAMILIES for one in above if one in self.facts.known):
            return True
        cancelled = not self._cancelled.isdisjoint((job, *above))
        return cancelled or may_be_replaced(self.facts.jobs[job])

    def _pulled(self, _happening: Happening, event: BatchPulled) -> None:
        sent_s = self.facts.now_s - event.seconds
        for job, free_since_s in self._passed.pop(event.claim, ()):
            if free_since_s < sent_s - FLOOR_AGE_MAX_S - LATE_S:
                self.find(f"job {job} was passed over by claim {event.claim}")


class Bounded(Oracle):
    """Invariant 10: a worker holds no more jobs than its stages have room for.

    A pull waits for execute, which runs up to `concurrency`, beside the outcomes that gather for
    the next commit and those in the one under way, or the two of an agent: pull + concurrency + 2
    or 3 commits. Judged when a pull comes in, for no other stage takes jobs from outside. Allowed:
    adopted jobs come on top; nobody knew of them when they were claimed. So do outcomes that are
    resumed, and parents, which have no slot while they wait, and ask for none when they are
    canceled.
    """

    name = "bounded"
    invariant = 10

    def __init__(self, plan: Plan, facts: Facts) -> None:
        super().__init__(plan, facts)
        self._in_hand: Counter[UUID] = Counter()
        self._adopted: Counter[UUID] = Counter()
        self._parents: set[tuple[UUID, UUID]] = set()

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {
            BatchPulled: self._pulled,
            BodyStarted: self._starts,
            BatchAdopted: self._adopts,
            BatchStored: self._stored,
            OutcomeAbandoned: self._abandoned,
            OutcomeResumed: self._resumed,
        }

    def _pulled(self, _happening: Happening, event: BatchPulled) -> None:
        sizes = self.plan.sizes
        self._in_hand[event.worker] += len(event.jobs)
        commits = 1 + commits_at_once(sizes)
        room = sizes.pull + sizes.concurrency + commits * sizes.commit
        room += self._adopted[event.worker]
        room += sum(worker == event.worker for worker, _ in self._parents)
        if self._in_hand[event.worker] > room:
            self.find(
                f"worker {event.worker} holds {self._in_hand[event.worker]} jobs, over {room}"
            )

    def _starts(self, _happening: Happening, event: BodyStarted) -> None:
        if event.path in FAMILIES:
            self._parents.add((event.worker, event.job))

    def _adopts(self, _happening: Happening, event: BatchAdopted) -> None:
        self._in_hand[event.worker] += len(event.jobs)
        self._adopted[event.worker] += len(event.jobs)

    def _stored(self, _happening: Happening, event: BatchStored) -> None:
        self._in_hand[event.worker] -= len(event.jobs)
        self._parents.difference_update((event.worker, job) for job in event.jobs)

    def _abandoned(self, _happening: Happening, event: OutcomeAbandoned) -> None:
        self._in_hand[event.worker] -= 1
        self._parents.discard((event.worker, event.job))

    def _resumed(self, _happening: Happening, event: OutcomeResumed) -> None:
        self._in_hand[event.worker] += 1
        self._adopted[event.worker] += 1


class Modest(Oracle):
    """A worker asks for no more than it can start: slow jobs are left for others.

    Before its first job has ended it knows no pace, and asks for one per slot. Afterwards the
    fastest job that it has seen bounds what it may expect of `start_within_s`.
    """

    name = "modest"

    def __init__(self, plan: Plan, facts: Facts) -> None:
        super().__init__(plan, facts)
        self._began: dict[tuple[UUID, UUID, int], float] = {}
        self._fastest_s: dict[UUID, float] = {}

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {JobStarted: self._started, JobEnded: self._ended, BatchPulled: self._pulled}

    def _started(self, _happening: Happening, event: JobStarted) -> None:
        self._began[event.worker, event.job, event.attempt] = self.facts.now_s

    def _ended(self, _happening: Happening, event: JobEnded) -> None:
        now_s = self.facts.now_s
        took_s = now_s - self._began.pop((event.worker, event.job, event.attempt), now_s)
        self._fastest_s[event.worker] = min(took_s, self._fastest_s.get(event.worker, took_s))

    def _pulled(self, _happening: Happening, event: BatchPulled) -> None:
        sizes = self.plan.sizes
        most: float = sizes.concurrency
        fastest_s = self._fastest_s.get(event.worker)
        if fastest_s is not None:
            most += sizes.concurrency * sizes.start_within_s / max(fastest_s, LATE_S)
        if event.asked > most:
            self.find(f"worker {event.worker} asked for {event.asked} jobs, over {most:g}")


def _place(row: ReadyRow, ranks: Mapping[str, int]) -> tuple[int, int, datetime, UUID]:
    """The order in which a worker with these ranks claims: the smaller the better."""
    return -ranks[row.tag], -row.priority, row.scheduled_for, row.id
