"""maintenance: what any worker does for all of them. No leader: whoever comes first does it.

Sweeps are bounded and skip what others have locked, so that ten workers that sweep at once share
the work instead of repeating it.
"""

from math import inf
from typing import Final

import trio

from trioworker.errors import StoreError
from trioworker.events import JobsReaped, MaintenanceFailed
from trioworker.model.failures import classify
from trioworker.model.planner import Backoff
from trioworker.store.protocol import Promoted
from trioworker.worker.channel import Reminder
from trioworker.worker.config import Context

CLAIMS_PER_SWEEP_MAX: Final = 100
TIDY_EVERY_SWEEPS: Final = 12
SCHEDULE_ROUNDS_MAX: Final = 100
FLOW_ROUNDS_MAX: Final = 20
CANCEL_ROUNDS_MAX: Final = 20
PARENT_ROUNDS_MAX: Final = 100
DELETE_ROUNDS_MAX: Final = 20
LOOK_PAUSE_S: Final = 0.02
"""Before each look at the limits, about: however many hints come, there are no more looks, and
a job whose hint was spared by its client is found by the look that an earlier one's hint brings."""
LOOK_SPREAD: Final = (0.5, 2.5)
"""Between which times that pause it is. All workers may know when a window passes: whoever is first
lets in the next, and the others find nothing to do instead of waiting for the same rows."""
LOOK_IN_VAIN_S: Final = 0.5
"""The longest pause after looks that let nobody in although it was time: whoever is next is in the
hands of a client, which may keep him for long."""


class Maintenance:
    """The sweeps of one worker."""

    def __init__(self, context: Context, *, promoted: Reminder) -> None:
        self._config = context.config
        self._worker = context.worker
        self._store = context.store
        self._ports = context.ports
        self._emit = context.emit
        self._sweeps = 0
        self._more_to_delete = False
        self._sweeping = trio.Lock()
        self._promoted = promoted
        self._look_at_s = inf
        self._in_vain = Backoff(LOOK_PAUSE_S, LOOK_IN_VAIN_S)
        self._rest = trio.CancelScope()
        self.wake = Reminder()

    async def run(self) -> None:
        """Sweep until cancelled, at jittered intervals, and look at the limits when it is time."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._look_when_due)
            while True:
                await trio.sleep(self._config.sweep_s * self._ports.rng.uniform(0.8, 1.2))
                await self.sweep()

    async def _look_when_due(self) -> None:
        while True:
            with trio.CancelScope(deadline=self._look_at_s) as self._rest:
                await self.wake.wait()
            await trio.sleep(LOOK_PAUSE_S * self._ports.rng.uniform(*LOOK_SPREAD))
            await self._promote()

    async def sweep(self) -> None:
        """One sweep; one that fails is reported and comes again in its turn.

        Never two at once: they would take all connections that they share with the heartbeat.
        """
        async with self._sweeping:
            try:
                await self._reap_all()
                await self._cancel_late()
                await self._promote_all()
                await self._sweep_schedules()
                await self._sweep_flows()
                await self._end_parents()
                if self._sweeps % TIDY_EVERY_SWEEPS == 0:
                    await self._store.tidy()
                    self._more_to_delete = True
                await self._delete_ended()
            except StoreError as error:
                self._failed(error)
            self._sweeps += 1

    async def _delete_ended(self) -> None:
        """In each sweep while there is more; a heap of it waits for what is urgent in between."""
        for _ in range(DELETE_ROUNDS_MAX):
            if not self._more_to_delete:
                return
            self._more_to_delete = await self._store.delete_ended(older_s=self._config.retention_s)

    async def _promote(self) -> None:
        async with self._sweeping:
            try:
                await self._promote_all()
            except StoreError as error:
                self._look_at(inf)
                self._failed(error)

    def _failed(self, error: StoreError) -> None:
        failure, message = classify(error), str(error)
        self._emit(MaintenanceFailed(worker=self._worker, failure=failure, message=message))

    async def _promote_all(self) -> None:
        found = await self._store.promote()
        self._look_at(trio.current_time() + self._pause_s(found))
        if found.jobs:
            self._promoted.set()

    def _pause_s(self, found: Promoted) -> float:
        """How long to wait for the next look."""
        if not found.jobs and found.look_s is not None and found.look_s <= 0:
            return self._in_vain.next_s()
        self._in_vain.reset()
        return inf if found.look_s is None else found.look_s

    def _look_at(self, look_at_s: float) -> None:
        self._look_at_s = self._rest.deadline = look_at_s

    async def _sweep_schedules(self) -> None:
        for _ in range(SCHEDULE_ROUNDS_MAX):
            if not await self._store.sweep_schedules():
                return

    async def _end_parents(self) -> None:
        for _ in range(PARENT_ROUNDS_MAX):
            if not await self._store.workflow.end_parents():
                return

    async def _cancel_late(self) -> None:
        """Apart from the rest: one that always fails must not keep schedules from their ticks."""
        try:
            for _ in range(CANCEL_ROUNDS_MAX):
                if not await self._store.cancel_late():
                    return
        except StoreError as error:
            self._failed(error)

    async def _sweep_flows(self) -> None:
        for _ in range(FLOW_ROUNDS_MAX):
            if not await self._store.sweep_flows():
                return

    async def _reap_all(self) -> None:
        while True:
            reaped = await self._store.reap(
                claims_max=CLAIMS_PER_SWEEP_MAX, reaped_max=self._config.reaped_max
            )
            if not reaped.ready and not reaped.failed:
                return
            self._emit(JobsReaped(worker=self._worker, ready=reaped.ready, failed=reaped.failed))
