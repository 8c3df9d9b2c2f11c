"""pull: claims batches and sends them on; the only task that decides to claim.

It asks the planner how many jobs can start soon, claims that many in one statement, and sends the
batch into a bounded channel, where a busy execute stage makes it wait. When nothing is ready it
sleeps: until a hint, until the next job is due, or for a while, whichever comes first.

What a commit hands over comes in here, too, and waits for nothing: the commit that brings it must
not wait for those who wait for a commit.

While it holds a job on its last chance it claims nothing: what would be lost with the worker then
is that job alone, beside what ran already.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from itertools import groupby
from math import inf
from typing import Final
from uuid import UUID

import trio

from trioworker.errors import StoreError
from trioworker.events import BatchAdopted, BatchHanded, BatchPulled, PullFailed
from trioworker.model.failures import backoff_s, classify
from trioworker.model.job import Job
from trioworker.model.outcome import Executed
from trioworker.model.planner import Backoff, Floors, alone_from, claim_size
from trioworker.model.tags import own_tag
from trioworker.worker.cache import Cache
from trioworker.worker.channel import BatchChannel, Reminder
from trioworker.worker.config import Context
from trioworker.worker.deployed import DeployedTask
from trioworker.worker.execute import Execute
from trioworker.worker.holdings import Holdings
from trioworker.worker.workflow import WorkflowTask

IDLE_FIRST_S: Final = 0.005
"""The first pause after an empty pull; longer than a client's debounce of hints, so that a job
whose hint was spared is found by the next look."""
LOOK_AHEAD_S: Final = 0.1
"""Pauses from this length on are cut to the moment when the next scheduled job is due."""
ADOPT_EVERY_S: Final = 30.0
"""How often a worker looks for claims of its own that it does not know, without a reason."""


class Pull:
    """The pull stage of one worker."""

    def __init__(
        self,
        context: Context,
        *,
        execute: Execute,
        jobs: BatchChannel[Job],
        outcomes: BatchChannel[Executed],
        holdings: Holdings,
        workflow: WorkflowTask,
    ) -> None:
        self._config = context.config
        self._worker = context.worker
        self._store = context.store
        self._ports = context.ports
        self._emit = context.emit
        self._execute = execute
        self._jobs = jobs
        self._holdings = holdings
        self._workflow = workflow
        self._cache = Cache(context, outcomes=outcomes)
        self._deployed = DeployedTask(context)
        self._floors = Floors()
        self._idle = Backoff(IDLE_FIRST_S, self._config.poll_s)
        self._waits = trio.CancelScope()
        self._stopping = False
        self._paused = False
        self._failures = 0
        self._reply_lost = False
        self._adopted_s = trio.current_time()
        self._saw_all = False
        self._alone_from = alone_from(self._config.reaped_max)
        self._alone: set[UUID] = set()
        self._handed: set[UUID] = set()
        self._adopted: set[UUID] = set()
        self._arrived: list[Job] = []
        self._closed = False
        self.tags = context.config.tags
        self.wake = Reminder()

    async def run(self) -> None:
        """Pull until stopped, or in drain mode until there is nothing left; then close."""
        while not self._stopping:
            size = 0 if self._paused else self._plan()
            if self._arrived:
                await self._send(self._take_arrived())
            elif self._holds_last_chance():
                with self._until_stopped():
                    await self._holdings.settled.wait()
            elif size == 0:
                with self._until_stopped():
                    await self._execute.changed.wait()
            elif await self._pull_once(size) is _Next.DRAINED:
                break
        while self._reply_lost:
            await self._pull_once(1)
        self._jobs.put(self._take_arrived())
        self._closed = True
        self._jobs.close()
        self._execute.changed.set()

    def stop(self) -> None:
        """Pull nothing more. A statement that is under way is waited for: its jobs are ours."""
        self._stopping = True
        self._waits.cancel()

    def take_over(self, jobs: Sequence[Job]) -> Sequence[Job]:
        """Take what a commit has handed over; returns what it is too late for, to be given back."""
        # What `adopt` has found before its reply came is in hand already, or has been.
        fresh = [job for job in jobs if job.claim not in self._adopted]
        for claim, members in groupby(fresh, lambda job: job.claim):
            self._handed.add(claim)
            handed = [job.id for job in members]
            self._emit(BatchHanded(worker=self._worker, claim=claim, jobs=handed))
        self._take(fresh)
        if self._closed:
            return fresh
        if self._cache.asking(fresh) or self._deployed.asking(fresh):
            self._arrived += fresh
            self._look_up()
        else:
            self._jobs.put(fresh)
            self._execute.changed.set()
        return ()

    def pull_own(self) -> None:
        """From now on there may be jobs that only this worker may run."""
        self.tags = self._config.tags.with_own(self._worker)

    def adopt_soon(self) -> None:
        """A commit whose reply was lost may have handed something over."""
        self._reply_lost = True
        self.pull_own()
        self._look_up()

    def _look_up(self) -> None:
        """Wherever the loop waits, it looks around."""
        self.wake.set()
        self._execute.changed.set()
        self._holdings.settled.set()
        self._holdings.emptied.set()

    def _take_arrived(self) -> Sequence[Job]:
        arrived, self._arrived = self._arrived, []
        return arrived

    def look_soon(self) -> None:
        """Jobs were enqueued here a moment ago."""
        self._idle.reset()
        self.wake.set()
        if self._config.drain:
            self._holdings.emptied.set()

    def pause(self, *, paused: bool) -> None:
        """Claim nothing while the lease is in doubt."""
        self._paused = paused
        self._execute.changed.set()

    async def _pull_once(self, size: int) -> "_Next":
        """One claim of up to `size` jobs, sent on; then a rest when there was less than that."""
        nothing_in_hand = len(self._holdings) == 0
        jobs = await self._claim(size)
        if jobs is None:
            await self._pause()
            return _Next.GO_ON
        if jobs:
            self._idle.reset()
            await self._send(jobs)
        # A job on its last chance comes alone, however many more there are.
        if len(jobs) < size and not self._holds_last_chance():
            if self._config.drain and nothing_in_hand and not jobs and self._saw_all:
                return await self._drained()
            with self._until_stopped():
                await self._rest(found=bool(jobs))
        return _Next.GO_ON

    async def _drained(self) -> "_Next":
        """Nothing is ready; but something may be, if a limit holds it back no longer.

        Or once what could not wait for its children here may go on.
        """
        try:
            promoted = await self._store.promote()
        except StoreError as error:
            self._failed(error)
            await self._pause()
            return _Next.GO_ON
        if promoted.jobs:
            return _Next.GO_ON
        if (delay_s := self._workflow.put_off_for_s) > 0:
            with self._until_stopped():
                await trio.sleep(delay_s)
            return _Next.GO_ON
        return _Next.DRAINED

    def _holds_last_chance(self) -> bool:
        """Whether a job on its last chance is in hand: its outcome is neither stored nor lost."""
        if self._alone:
            self._alone = {claim for claim in self._alone if self._holdings.has(claim)}
        return bool(self._alone)

    async def _pause(self) -> None:
        """Wait after a failure. While a reply is lost even a stop has to look for it again."""
        delay_s = backoff_s(self._failures, self._ports.rng)
        if self._reply_lost:
            await trio.sleep(delay_s)
            return
        with self._until_stopped():
            await trio.sleep(delay_s)

    async def _send(self, jobs: Sequence[Job]) -> None:
        left = jobs
        ends: Sequence[Executed] = ()
        try:
            if asking := self._cache.asking(jobs):
                with self._until_stopped():
                    ends = await self._cache.look_up(asking)
            if ends:
                ended = {one.job.id for one in ends}
                left = [job for job in jobs if job.id not in ended]
                await self._cache.end(ends)
            if paths := self._deployed.asking(left):
                with self._until_stopped():
                    await self._deployed.look_up(paths)
            with self._until_stopped():
                await self._jobs.room_for(len(left))
        finally:
            # However the wait ended, the jobs are claimed: execute runs them or gives them back.
            self._jobs.put(left)
            self._execute.changed.set()

    @contextmanager
    def _until_stopped(self) -> Iterator[None]:
        """A wait that a graceful stop cuts short."""
        with trio.CancelScope() as self._waits:
            if self._stopping:
                self._waits.cancel()
            yield

    def _plan(self) -> int:
        return claim_size(
            self._execute.load(),
            pull_size=self._config.sizes.pull,
            start_within_s=self._config.start_within_s,
        )

    async def _claim(self, size: int) -> Sequence[Job] | None:
        """Claim, or adopt what an earlier claim may have left; None when the database failed."""
        try:
            if self._reply_lost or self._adoption_is_due():
                adopted = await self._adopt()
                if adopted or self._stopping:
                    return adopted
            return await self._pull(size)
        except StoreError as error:
            self._failed(error)
            self._reply_lost = self._reply_lost or error.ambiguous
            return None

    def _failed(self, error: StoreError) -> None:
        self._failures += 1
        self._emit(
            PullFailed(
                worker=self._worker,
                failure=classify(error),
                message=str(error),
                ambiguous=error.ambiguous,
            )
        )

    async def _pull(self, size: int) -> Sequence[Job]:
        claim = self._ports.new_id()
        started_s = trio.current_time()
        floors = self._floors.at(started_s)
        self._saw_all = not floors.tags
        jobs = await self._store.pull(
            self._worker, claim, size, self.tags, floors, alone_from=self._alone_from
        )
        self._failures = 0
        self._floors.advance(jobs, full=len(jobs) == size)
        if jobs:
            self._take(jobs)
            self._emit(
                BatchPulled(
                    worker=self._worker,
                    claim=claim,
                    asked=size,
                    jobs=[job.id for job in jobs],
                    seconds=trio.current_time() - started_s,
                )
            )
        return jobs

    def _adoption_is_due(self) -> bool:
        return trio.current_time() - self._adopted_s >= ADOPT_EVERY_S

    async def _adopt(self) -> Sequence[Job]:
        self._reply_lost = False
        self._handed.clear()
        try:
            found = await self._store.adopt(self._worker, self._holdings.claims)
        except StoreError:
            self._reply_lost = True
            raise
        self._adopted_s = trio.current_time()
        # What was handed over while it looked is in hand, or has been.
        jobs = [job for job in found if job.claim not in self._handed]
        if own := {job.claim for job in jobs if job.tag == own_tag(self._worker)}:
            self._adopted |= own
            self.pull_own()
        if jobs:
            self._take(jobs)
            self._emit(BatchAdopted(worker=self._worker, jobs=[job.id for job in jobs]))
        return jobs

    def _take(self, jobs: Sequence[Job]) -> None:
        self._holdings.take(jobs)
        self._alone.update(job.claim for job in jobs if job.reaped >= self._alone_from)

    async def _rest(self, *, found: bool) -> None:
        """Sleep after a pull that found less than it asked for."""
        delay_s = self._idle.next_s()
        if self._config.drain:
            with trio.move_on_after(delay_s):
                await self._holdings.emptied.wait()
            return
        if not found and delay_s >= LOOK_AHEAD_S:
            delay_s = min(delay_s, await self._next_due_s())
        with trio.move_on_after(delay_s):
            await self.wake.wait()
            # A hint stands for the jobs that follow it closely, too: look once more, soon.
            self._idle.reset()

    async def _next_due_s(self) -> float:
        try:
            due_s = await self._store.next_due_s(self.tags.names)
        except StoreError:
            # The pull that follows meets the same database and reports what is wrong with it.
            return inf
        return inf if due_s is None else max(0.0, due_s)


class _Next(Enum):
    GO_ON = "go on"
    DRAINED = "drained"
