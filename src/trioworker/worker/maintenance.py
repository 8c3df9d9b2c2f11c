"""maintenance: what any worker does for all of them. No leader: whoever comes first does it.

Sweeps are bounded and skip what others have locked, so that ten workers that sweep at once share
the work instead of repeating it.
"""

from typing import Final

import trio

from trioworker.errors import StoreError
from trioworker.events import JobsReaped, MaintenanceFailed
from trioworker.model.failures import classify
from trioworker.worker.config import Context

CLAIMS_PER_SWEEP_MAX: Final = 100
TIDY_EVERY_SWEEPS: Final = 12


class Maintenance:
    """The sweeps of one worker."""

    def __init__(self, context: Context) -> None:
        self._config = context.config
        self._worker = context.worker
        self._store = context.store
        self._ports = context.ports
        self._emit = context.emit
        self._sweeps = 0
        self._sweeping = trio.Lock()

    async def run(self) -> None:
        """Sweep until cancelled, at jittered intervals."""
        while True:
            await trio.sleep(self._config.sweep_s * self._ports.rng.uniform(0.8, 1.2))
            await self.sweep()

    async def sweep(self) -> None:
        """One sweep; one that fails is reported and comes again in its turn.

        Never two at once: they would take all connections that they share with the heartbeat.
        """
        async with self._sweeping:
            try:
                await self._reap_all()
                if self._sweeps % TIDY_EVERY_SWEEPS == 0:
                    await self._store.tidy()
            except StoreError as error:
                failure, message = classify(error), str(error)
                self._emit(MaintenanceFailed(worker=self._worker, failure=failure, message=message))
            self._sweeps += 1

    async def _reap_all(self) -> None:
        while True:
            reaped = await self._store.reap(
                claims_max=CLAIMS_PER_SWEEP_MAX, reaped_max=self._config.reaped_max
            )
            if not reaped.ready and not reaped.failed:
                return
            self._emit(JobsReaped(worker=self._worker, ready=reaped.ready, failed=reaped.failed))
