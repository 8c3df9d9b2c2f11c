"""heartbeat: one for all claims of this worker; and the fence, should it not come through.

The lease is the database's: it ends `lease_s` after the last heartbeat that the database saw. The
fence is this process's own: it counts from the moment the last successful heartbeat was *sent*,
which is earlier; before the lease can end it stops what runs, and begins nothing until the lease is
renewed. What has already been executed is kept: if nobody took the lease in the meantime, its
outcomes can still be stored.
"""

from collections.abc import Sequence
from typing import Final

import trio

from trioworker.errors import LeaseLost, StoreError
from trioworker.events import CancelReceived, HeartbeatFailed, LeaseDoubtful
from trioworker.model.failures import classify
from trioworker.store.protocol import Counters
from trioworker.worker.channel import Reminder, Signal
from trioworker.worker.commit import Commit
from trioworker.worker.config import Context
from trioworker.worker.execute import Execute
from trioworker.worker.pull import Pull

FENCE_MARGIN: Final = 1 / 6
"""The part of the lease that is left when the fence falls: time to stop what runs."""
RETRY_S: Final = 0.5


class HeartbeatTask:
    """Keeps one worker's lease, or says that it is lost."""

    def __init__(
        self,
        context: Context,
        *,
        pull: Pull,
        execute: Execute,
        commits: Sequence[Commit],
    ) -> None:
        self._config = context.config
        self._worker = context.worker
        self._store = context.store
        self._emit = context.emit
        self._pull = pull
        self._execute = execute
        self._commits = commits
        self._renewed_s = trio.current_time()
        self._fenced = False
        self._renewed = Signal()
        self.wake = Reminder()

    async def run(self) -> None:
        """Beat until cancelled. Raises `LeaseLost` when the lease was taken away."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._guard)
            while True:
                renewed = await self._beat()
                delay_s = self._config.heartbeat_s if renewed else min(RETRY_S, self._fence_s / 10)
                with trio.move_on_after(delay_s):
                    await self.wake.wait()

    def lease_began(self, sent_s: float) -> None:
        """The worker is registered, by a statement that was sent at `sent_s`."""
        self._renewed_s = sent_s

    @property
    def counters(self) -> Counters:
        """What this worker has done so far."""
        done = sum(commit.done for commit in self._commits)
        failed = sum(commit.failed for commit in self._commits)
        return Counters(done, failed, self._execute.load().running)

    @property
    def _fence_s(self) -> float:
        return self._config.lease_s * (1 - FENCE_MARGIN)

    async def _beat(self) -> bool:
        sent_s = trio.current_time()
        try:
            with trio.fail_after(self._config.lease_s / 3):
                beat = await self._store.heartbeat(self._worker, self.counters)
        except (StoreError, trio.TooSlowError) as error:
            failure = classify(error) if isinstance(error, StoreError) else "too slow"
            self._emit(HeartbeatFailed(worker=self._worker, failure=failure, message=str(error)))
            return False
        if not beat.alive:
            raise LeaseLost(f"the lease of worker {self._worker} was taken away")
        self._renew(sent_s)
        for job, reason in beat.cancels.items():
            if self._execute.cancel(job, reason):
                self._emit(CancelReceived(worker=self._worker, job=job))
        return True

    def _renew(self, sent_s: float) -> None:
        self._renewed_s = sent_s
        if self._fenced:
            self._fenced = False
            self._pull.pause(paused=False)
            self._execute.hold(held=False)
            self._renewed.set()

    async def _guard(self) -> None:
        """Stop what runs when the lease could not be renewed in time."""
        while True:
            falls_s = self._renewed_s + self._fence_s
            await trio.sleep_until(falls_s)
            if falls_s < self._renewed_s + self._fence_s:
                continue  # renewed in the meantime
            silent_s = trio.current_time() - self._renewed_s
            self._fenced = True
            self._pull.pause(paused=True)
            self._emit(LeaseDoubtful(worker=self._worker, silent_s=silent_s))
            self._execute.hold(held=True)
            self._execute.interrupt()
            await self._renewed.wait()
