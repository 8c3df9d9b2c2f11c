"""commit: stores everything that waits in one transaction, and loses nothing when that fails.

The loop is short because the decisions are elsewhere: `model/failures.py` says what follows from
a failure, `model/batching.py` how a batch is divided. What is here is patience: outcomes stay in
this task's hands, through any outage, until they are stored, refused by the database for good, or
found to belong to another worker.
"""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from math import inf
from typing import Final
from uuid import UUID

import msgspec
import trio

from trioworker.errors import StoreError
from trioworker.events import (
    BatchStored,
    CommitFailed,
    OutcomeAbandoned,
    OutcomeRefused,
    OutcomeResumed,
)
from trioworker.model.batching import cut, divide
from trioworker.model.completion import STATUS_OF, refused
from trioworker.model.failures import Failure, Step, backoff_s, classify, next_step
from trioworker.model.outcome import Begun, Executed, Failed, Interrupted, Retried, Snoozed
from trioworker.store.protocol import Stored
from trioworker.worker.channel import BatchChannel, Reminder
from trioworker.worker.config import Context
from trioworker.worker.holdings import Holdings
from trioworker.worker.patience import until_back
from trioworker.worker.pull import Pull

REFUSALS_MAX: Final = 2
"""An outcome is replaced by a failure with all that could be kept, then by a bare one."""
RESUMED_AFTER_S: Final = 30.0
"""When not even a bare failure could be stored it is no job's fault, and may be over by then."""


class _Group(msgspec.Struct):
    """Outcomes that share a transaction, and what happened to them so far.

    `again` stays True from the first failure that may have stored them unseen. `failures` are
    those of the outcomes as they are now.
    """

    batch: Sequence[Executed]
    again: bool = False
    failures: Counter[Failure] = msgspec.field(default_factory=Counter)
    refusals: int = 0

    @property
    def jobs(self) -> list[UUID]:
        """Whose outcomes these are, in order."""
        return [executed.job.id for executed in self.batch]

    @property
    def tries(self) -> int:
        """How often they were tried in vain."""
        return self.failures.total()


class Commit:
    """The commit stage of one worker, or a helper beside it, for when a full batch waits.

    A helper sees to it that the way to the store is no pause: the next batch is on it while the
    last one is stored. As it takes no less, batches still grow while the stage is busy.

    It sets `freed` when others may be ready because of these jobs, in their slots or following
    them, and `delayed` when time has to pass before a limited job may run. It calls `stored` with
    each batch, and with what came of it. What that has handed over goes to `pull`.
    """

    def __init__(
        self,
        context: Context,
        *,
        outcomes: BatchChannel[Executed],
        holdings: Holdings,
        freed: Reminder,
        delayed: Reminder,
        pull: Pull,
        stored: Callable[[Sequence[Executed], Stored], None],
        helps: bool = False,
    ) -> None:
        self._helps = helps
        self._config = context.config
        self._worker = context.worker
        self._store = context.store
        self._ports = context.ports
        self._emit = context.emit
        self._report_end = context.report_end
        self._outcomes = outcomes
        self._holdings = holdings
        self._freed = freed
        self._delayed = delayed
        self._pull = pull
        self._stored = stored
        self._pending: deque[_Group] = deque()
        self._abandoned: deque[_Group] = deque()
        self._resume_at_s = inf
        self.done = 0
        self.failed = 0

    async def run(self) -> None:
        """Store what comes until the outcomes channel is closed and empty."""
        while (batch := await self._receive()) is not None:
            if batch:
                self._pending.extend(_Group(group) for group in cut(batch, self._config.policy))
            if trio.current_time() >= self._resume_at_s:
                self._resume()
            await self._store_all()
        left = inf
        while len(self._abandoned) < left:
            left = len(self._abandoned)
            self._resume()
            await self._store_all()

    async def _receive(self) -> Sequence[Executed] | None:
        """What comes next, or waits when it is time to resume; None when nothing ever will."""
        with trio.CancelScope(deadline=self._resume_at_s):
            try:
                return await self._outcomes.receive(self._config.sizes.commit, full=self._helps)
            except trio.EndOfChannel:
                return None
        return self._outcomes.take(self._config.sizes.commit)

    async def _store_all(self) -> None:
        while self._pending:
            await self._advance(self._pending[0])

    def unsaved(self) -> list[UUID]:
        """The jobs whose outcomes are in hand and not known to be stored."""
        groups = [*self._pending, *self._abandoned]
        waiting = [executed for group in groups for executed in group.batch]
        waiting.extend(() if self._helps else self._outcomes.items)
        return [executed.job.id for executed in waiting]

    async def _advance(self, group: _Group) -> None:
        """Try the first group once; on failure do the step that the policy says."""
        started_s = trio.current_time()
        try:
            stored = await self._store.commit(self._worker, group.batch, again=group.again)
        except StoreError as error:
            await self._after_failure(group, error)
            return
        lost = stored.lost
        if group.refusals == REFUSALS_MAX and self._abandoned:
            self._resume_at_s = started_s
        self._take_over(group, stored)
        self._settle(group)
        self._stored(group.batch, stored)
        failed = sum(
            isinstance(executed.outcome, Failed) and executed.job.id not in lost
            for executed in group.batch
        )
        self.done += len(group.batch) - len(lost)
        self.failed += failed
        self._emit(
            BatchStored(
                worker=self._worker,
                jobs=group.jobs,
                stored=len(group.batch) - len(lost),
                failed=failed,
                lost=sorted(lost),
                seconds=trio.current_time() - started_s,
            )
        )

    async def _after_failure(self, group: _Group, error: StoreError) -> None:
        failure = classify(error)
        group.failures[failure] += 1
        group.again = group.again or error.ambiguous
        step = next_step(
            failure, size=len(group.batch), tries=group.tries, alike=group.failures[failure]
        )
        self._emit(
            CommitFailed(
                worker=self._worker,
                jobs=group.jobs,
                size=len(group.batch),
                tries=group.tries,
                failure=failure,
                step=step,
                message=str(error),
                ambiguous=error.ambiguous,
            )
        )
        match step:
            case Step.AGAIN:
                await trio.sleep(backoff_s(group.tries, self._ports.rng))
            case Step.AGAIN_WHEN_BACK:
                await until_back(self._store, self._ports.rng)
                self._let_neighbours_go_first(group, failure)
            case Step.DIVIDE:
                self._divide(group)
            case Step.REFUSE:
                self._refuse(group, error)

    def _let_neighbours_go_first(self, group: _Group, failure: Failure) -> None:
        """A single outcome that breaks its line again and again must not hold up the others."""
        if failure is Failure.CONNECTION and group.tries > 1 and len(group.batch) == 1:
            self._pending.rotate(-1)

    def _divide(self, group: _Group) -> None:
        self._pending.popleft()
        parts = divide(group.batch, self._config.fallback)
        self._pending.extendleft(_Group(part, again=group.again) for part in reversed(parts))

    def _refuse(self, group: _Group, error: StoreError) -> None:
        """Put a failure in the place of what the database will not take; twice at the most."""
        (executed,) = group.batch
        job, message = executed.job.id, str(error)
        group.failures.clear()
        if group.refusals == REFUSALS_MAX:
            self._abandon(group, message)
            return
        group.batch = [refused(executed, message, bare=group.refusals > 0)]
        group.refusals += 1
        self._emit(OutcomeRefused(worker=self._worker, job=job, message=message))

    def _abandon(self, group: _Group, message: str) -> None:
        """Put it aside: what can be stored in no form must not hold up the others."""
        (executed,) = group.batch
        self._pending.popleft()
        self._abandoned.append(group)
        self._resume_at_s = min(self._resume_at_s, trio.current_time() + RESUMED_AFTER_S)
        self._holdings.abandon(executed.job)
        self._emit(OutcomeAbandoned(worker=self._worker, job=executed.job.id, message=message))

    def _resume(self) -> None:
        """Try the first that was abandoned, behind all others; the rest if it is stored."""
        self._resume_at_s = inf
        if not self._abandoned:
            return
        group = self._abandoned.popleft()
        self._pending.append(group)
        self._holdings.resume(group.batch[0].job)
        self._emit(OutcomeResumed(worker=self._worker, job=group.batch[0].job.id))
        if self._abandoned:
            self._resume_at_s = trio.current_time() + RESUMED_AFTER_S

    def _take_over(self, group: _Group, stored: Stored) -> None:
        """Before the batch counts as settled: who waits until nothing is in hand must see these."""
        late = self._pull.take_over(stored.handed) if stored.handed else ()
        if late:
            now_s = trio.current_time()
            back = [Executed(job, Interrupted(), now_s, 0.0) for job in late]
            for executed in back:
                self._report_end(executed)
            self._pending.extend(_Group(part) for part in cut(back, self._config.policy))
        if stored.handed or stored.own:
            self._pull.pull_own()
        if stored.own or stored.let_go:
            self._freed.set()
        if group.again and any(_moves_a_flow(executed) for executed in group.batch):
            self._pull.adopt_soon()

    def _settle(self, group: _Group) -> None:
        hooked = [e for e in group.batch if e.job.options.has_effects and not _stays_here(e)]
        if hooked or any(type(e.outcome) is Begun for e in group.batch):
            self._freed.set()
        if any(_takes_time(e) for e in hooked if e.job.options.limit is not None):
            self._delayed.set()
        self._pending.popleft()
        self._holdings.release(executed.job for executed in group.batch)


def _moves_a_flow(executed: Executed) -> bool:
    return executed.job.options.step is not None or type(executed.outcome) is Begun


def _stays_here(executed: Executed) -> bool:
    """Whether what follows from it is for this worker alone, which is told of it."""
    step = executed.job.options.step
    shares = step is not None and step.shared is not None
    return shares and executed.job.options.limit is None and type(executed.outcome) in STATUS_OF


def _takes_time(executed: Executed) -> bool:
    limit = executed.job.options.limit
    windowed = limit is not None and limit.window_s is not None
    return windowed or isinstance(executed.outcome, Retried | Snoozed)
