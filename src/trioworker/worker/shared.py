"""shared: the folders that steps of a flow share when all of them are run by this worker.

One for each such flow: made when the first of its steps is run, removed when the flow has ended.
The worker hears of that from its own commits; what ends elsewhere (a flow that is cancelled, say)
is found by looking now and then at what it still holds.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from math import inf
from pathlib import Path
from typing import Final
from uuid import UUID

import trio

from trioworker.errors import StoreError, UsageError
from trioworker.worker.channel import Reminder
from trioworker.worker.config import Context

LOOK_EVERY_S: Final = 30.0


class SharedTask:
    """What one worker holds; in a process without such folders steps share none."""

    def __init__(self, context: Context) -> None:
        self._worker = context.worker
        self._store = context.store
        self._rng = context.ports.rng
        self._folders = context.shared
        self._held: set[UUID] = set()
        self._used: Counter[UUID] = Counter()
        self._over: set[UUID] = set()
        self._told = Reminder()

    @contextmanager
    def used(self, flow: UUID | None) -> Iterator[Path | None]:
        """The folder of the flow, for as long as a step of it runs; None when it shares none.

        Raises `UsageError` when it cannot be made.
        """
        if flow is None or self._folders is None:
            yield None
            return
        try:
            folder = self._folders.make(flow)
        except OSError as error:
            raise UsageError(
                f"the folder that the steps of this flow share cannot be made: {error}"
            ) from error
        self._held.add(flow)
        self._used[flow] += 1
        try:
            yield folder
        finally:
            self._used[flow] -= 1
            if self._over:
                self._told.set()

    def let_go(self, flows: Iterable[UUID]) -> None:
        """These flows have ended."""
        if ended := self._held.intersection(flows):
            self._over |= ended
            self._told.set()

    async def run(self) -> None:
        """Remove what nobody needs any more, until cancelled."""
        while True:
            pause_s = LOOK_EVERY_S * self._rng.uniform(0.8, 1.2) if self._held else inf
            with trio.move_on_after(pause_s) as pause:
                await self._told.wait()
            if pause.cancelled_caught:
                await self._look()
            await self._remove({flow for flow in self._over if not self._used[flow]})

    async def clear(self) -> None:
        """Remove all that is left: this worker is no more, and its flows are not, either."""
        with trio.CancelScope(shield=True):
            await self._remove(set(self._held))

    async def _look(self) -> None:
        asked = sorted(self._held)
        try:
            kept = await self._store.kept_flows(self._worker, asked)
        except StoreError:
            return  # the next look asks for all of them
        self._over |= set(asked) - kept

    async def _remove(self, flows: set[UUID]) -> None:
        if not flows:
            return
        self._held -= flows
        self._over -= flows
        for flow in flows:
            del self._used[flow]
        assert self._folders is not None
        await self._folders.remove(flows)
