"""The supervisor: one nursery for the pipeline, one for what keeps it alive, one life at a time.

    pull --(batches of jobs)--> execute --(batches of outcomes)--> commit

A *life* is everything that belongs to one worker id. It ends in one of three ways: the pipeline
ran dry (drained, or stopped and flushed), the deadline of a stop cut it off, or its lease was taken
away; then everything it holds is dropped, and the next life begins under a new id.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final
from uuid import UUID

import msgspec
import trio

from trioworker.errors import LeaseLost, StoreError
from trioworker.events import (
    Emit,
    LeaseTaken,
    WorkerStarted,
    WorkerStopped,
    WorkerStopping,
)
from trioworker.model.failures import backoff_s
from trioworker.model.job import Job
from trioworker.model.outcome import Executed
from trioworker.runners.deployed import DeployedScripts
from trioworker.runners.protocol import Runner
from trioworker.runners.shared_folders import SharedFolders
from trioworker.store.protocol import Hint, Store, Stored, WorkerInfo
from trioworker.worker.channel import BatchChannel
from trioworker.worker.commit import Commit
from trioworker.worker.config import Context, Ports, WorkerConfig
from trioworker.worker.execute import Execute
from trioworker.worker.flush import Flush
from trioworker.worker.heartbeat import HeartbeatTask
from trioworker.worker.holdings import Holdings
from trioworker.worker.maintenance import Maintenance
from trioworker.worker.pull import Pull
from trioworker.worker.shared import SharedTask
from trioworker.worker.workflow import WorkflowTask

GOODBYE_S: Final = 1.0
"""How long a worker that is to stop at once waits for the store to hear that it does."""


class Stop:
    """How the outside asks a worker to stop: gracefully, then at once."""

    def __init__(self) -> None:
        self.asked = trio.Event()
        self.forced = trio.Event()

    def ask(self) -> None:
        """The first call begins a graceful stop, the second ends everything at once."""
        if self.asked.is_set():
            self.forced.set()
        self.asked.set()


class Report(msgspec.Struct, frozen=True):
    """How a worker ended. `unsaved` are the jobs in its hands of which nothing could be stored."""

    unsaved: Sequence[UUID]
    forced: bool


async def work(
    *,
    store: Store,
    runners: Mapping[str, Runner],
    config: WorkerConfig,
    ports: Ports,
    stop: Stop,
    emit: Emit,
    scripts: DeployedScripts | None = None,
    shared: SharedFolders | None = None,
) -> Report:
    """Work until drained or stopped; one life after the other. The runners must be open.

    `scripts` is where deployed scripts are looked up that a runner runs. `shared` has the folders
    that steps of flows share, which are open, too; by default they share none.

    Raises `StoreError` when the store cannot be reached at the very start, and never later.
    """
    first = True
    while True:
        context = Context(
            worker=ports.new_id(), config=config, store=store, ports=ports, emit=emit,
            scripts=scripts, shared=shared,
        )  # fmt: skip
        life = _Life(context, runners, stop)
        try:
            return await life.run(patient=not first)
        except* LeaseLost:
            emit(LeaseTaken(worker=context.worker, dropped=life.in_hand))
        first = False


class _Life:
    """All that belongs to one worker id."""

    def __init__(self, context: Context, runners: Mapping[str, Runner], stop: Stop) -> None:
        self._worker = context.worker
        self._config = context.config
        self._store = context.store
        self._ports = context.ports
        self._emit = context.emit
        self._stop = stop
        self._holdings = holdings = Holdings()
        jobs: BatchChannel[Job] = BatchChannel(context.config.sizes.pull)
        outcomes: BatchChannel[Executed] = BatchChannel(context.config.sizes.commit)
        self._workflow = WorkflowTask(context, enqueued=self._enqueued)
        self._shared = SharedTask(context)
        self._execute = Execute(
            context,
            runners=runners,
            jobs=jobs,
            outcomes=outcomes,
            workflow=self._workflow,
            shared=self._shared,
        )
        self._pull = Pull(
            context,
            execute=self._execute,
            jobs=jobs,
            outcomes=outcomes,
            holdings=holdings,
            workflow=self._workflow,
        )
        self._maintenance = Maintenance(context, promoted=self._pull.wake)
        self._commits = [
            Commit(
                context,
                outcomes=outcomes,
                holdings=holdings,
                freed=self._pull.wake,
                delayed=self._maintenance.wake,
                pull=self._pull,
                stored=self._stored,
                helps=number > 0,
            )
            for number in range(context.store.commits_at_once)
        ]
        self._heartbeat = HeartbeatTask(
            context, pull=self._pull, execute=self._execute, commits=self._commits
        )
        self._flush = Flush(context, execute=self._execute)
        self._pipeline = trio.CancelScope()
        self._goodbye = trio.CancelScope()

    @property
    def in_hand(self) -> int:
        """How many jobs this life holds."""
        return len(self._holdings)

    async def run(self, *, patient: bool) -> Report:
        """Live; `patient` waits for a store that cannot be reached at first."""
        if not await self._register(patient=patient):
            return Report(unsaved=[], forced=self._stop.forced.is_set())
        self._emit(
            WorkerStarted(
                worker=self._worker, mode=self._config.mode, tags=self._config.tags.shown()
            )
        )
        try:
            await self._live()
        finally:
            await self._shared.clear()
        return self._report()

    async def _live(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._heartbeat.run)
            nursery.start_soon(self._maintenance.run)
            nursery.start_soon(self._flush.run)
            nursery.start_soon(self._workflow.run)
            nursery.start_soon(self._shared.run)
            nursery.start_soon(self._listen)
            nursery.start_soon(self._stop_when_asked)
            await self._run_pipeline()
            await self._retire()
            nursery.cancel_scope.cancel()

    async def _run_pipeline(self) -> None:
        with self._pipeline:
            # What dead workers left behind belongs to the queue that a drain empties.
            await self._maintenance.sweep()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._pull.run)
                nursery.start_soon(self._execute.run)
                for commit in self._commits:
                    nursery.start_soon(commit.run)

    async def _register(self, *, patient: bool) -> bool:
        """Make this worker known; False when it was asked to stop before that was done."""
        registered = False
        failure: StoreError | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._cancel_when_asked, nursery.cancel_scope)
            try:
                await self._register_at_last(patient=patient)
                registered = True
            except StoreError as error:
                failure = error
            nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure
        return registered

    async def _cancel_when_asked(self, scope: trio.CancelScope) -> None:
        await self._stop.asked.wait()
        scope.cancel()

    async def _register_at_last(self, *, patient: bool) -> None:
        info = WorkerInfo(
            id=self._worker,
            name=self._config.name,
            host=self._config.host,
            pid=self._config.pid,
            mode=self._config.mode,
            tags=self._config.tags,
            lease_s=self._config.lease_s,
        )
        tries = 0
        while True:
            tries += 1
            sent_s = trio.current_time()
            try:
                await self._store.register(info)
            except StoreError:
                if not patient:
                    raise
                await trio.sleep(backoff_s(tries, self._ports.rng))
            else:
                self._heartbeat.lease_began(sent_s)
                return

    async def _stop_when_asked(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._force_when_asked)
            await self._stop.asked.wait()
            load = self._execute.load()
            self._emit(
                WorkerStopping(worker=self._worker, running=load.running, buffered=load.buffered)
            )
            self._pull.stop()
            self._execute.give_back()
            await trio.sleep(self._config.grace_s)
            self._execute.interrupt()
            await trio.sleep(self._config.flush_s)
            self._pipeline.cancel()

    async def _force_when_asked(self) -> None:
        await self._stop.forced.wait()
        self._pipeline.cancel()
        await trio.sleep(GOODBYE_S)
        self._goodbye.cancel()

    async def _retire(self) -> None:
        """Say goodbye, if the store is there to hear it: the reaper copes if it is not."""
        with self._goodbye, trio.move_on_after(self._config.flush_s):
            try:
                # What was done since the last heartbeat counts, too: all of it in a short life.
                await self._store.heartbeat(self._worker, self._heartbeat.counters)
                await self._store.retire(self._worker)
            except StoreError:
                return

    async def _listen(self) -> None:
        """Pass hints on. Without a line for them the worker polls: hints are never the truth."""
        tries = 0
        while True:
            tries += 1
            try:
                await self._store.listen(self._heard)
            except StoreError:
                await trio.sleep(backoff_s(tries, self._ports.rng))

    def _enqueued(self, tags: AbstractSet[str]) -> None:
        """Functions of this worker have enqueued jobs with these tags."""
        if not tags.isdisjoint(self._config.tags.names):
            self._pull.look_soon()

    def _stored(self, batch: Sequence[Executed], stored: Stored) -> None:
        self._workflow.stored(batch, stored.lost)
        self._shared.let_go(stored.let_go)

    def _heard(self, hint: Hint) -> None:
        if hint.anything or hint.tag in self._pull.tags.names:
            self._pull.wake.set()
            # It may be limited, and be ready only after a look.
            self._maintenance.wake.set()
        if hint.anything or hint.cancel_for == str(self._worker):
            self._heartbeat.wake.set()
        if hint.anything or hint.done is not None:
            self._workflow.heard(hint.done or None)

    def _report(self) -> Report:
        unsaved = [job for commit in self._commits for job in commit.unsaved()]
        unsaved += self._execute.unstarted()
        self._emit(WorkerStopped(worker=self._worker, unsaved=unsaved))
        return Report(unsaved=unsaved, forced=self._stop.forced.is_set())
