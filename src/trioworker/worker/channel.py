"""Channels whose items travel in batches, and whose bound counts items, not batches.

Trio's memory channel moves one object per send and per wake-up. Moving a job at a time costs more
than running a small one, and a channel of lists bounds lists, not jobs. This channel lets the
sender put many at once and the receiver take *everything that waits, up to a cap*: while the
receiver is busy its next batch grows (group commit), and no timer needs tuning.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

import trio

T = TypeVar("T")


class BatchChannel(Generic[T]):
    """A bounded queue between tasks. `capacity` is in items."""

    def __init__(self, capacity: int) -> None:
        assert capacity >= 1
        self._capacity = capacity
        self._items: deque[T] = deque()
        self._closed = False
        self._senders = trio.lowlevel.ParkingLot()
        self._receivers = trio.lowlevel.ParkingLot()
        self._for_full = trio.lowlevel.ParkingLot()

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        closed = ", closed" if self._closed else ""
        return f"<BatchChannel {len(self._items)} of {self._capacity}{closed}>"

    @property
    def items(self) -> Iterable[T]:
        """What waits, oldest first."""
        return self._items

    async def room_for(self, size: int) -> None:
        """Return when `size` more fit, or when nothing waits (for a batch beyond the capacity)."""
        await trio.lowlevel.checkpoint()
        while self._items and len(self._items) + size > self._capacity:
            await self._senders.park()

    def put(self, batch: Sequence[T]) -> None:
        """Append at once, for senders that have waited for room."""
        assert not self._closed
        self._items.extend(batch)
        if self._receivers:
            self._receivers.unpark_all()
        elif self._for_full and len(self._items) >= self._capacity:
            self._for_full.unpark_all()

    @property
    def free(self) -> int:
        """How many more items fit."""
        return max(0, self._capacity - len(self._items))

    async def room(self) -> None:
        """Return when fewer items than the capacity wait; a checkpoint only when it must wait."""
        while len(self._items) >= self._capacity:
            await self._senders.park()

    async def receive(self, limit: int, *, full: bool = False) -> list[T]:
        """Everything that waits, up to `limit`: at least one, or as many as fit if `full`.

        Raises `trio.EndOfChannel` when the channel is closed and has less than that.
        """
        await trio.lowlevel.checkpoint()
        await (self.full() if full else self.filled())
        return self.take(limit)

    async def filled(self) -> None:
        """Return when something waits. Raises `trio.EndOfChannel` when nothing ever will."""
        while not self._items:
            if self._closed:
                raise trio.EndOfChannel
            await self._receivers.park()

    async def full(self) -> None:
        """Return when as many wait as fit. Raises `trio.EndOfChannel` when they never will."""
        while len(self._items) < self._capacity:
            if self._closed:
                raise trio.EndOfChannel
            await self._for_full.park()

    def take(self, limit: int) -> list[T]:
        """What waits, up to `limit`, perhaps nothing; never blocks."""
        items = self._items
        if len(items) <= limit:
            taken = list(items)
            items.clear()
        else:
            taken = [items.popleft() for _ in range(limit)]
        self._wake_senders()
        return taken

    def take_while(self, wanted: Callable[[T], bool], limit: int) -> list[T]:
        """The oldest items up to `limit` for which `wanted` holds without a break."""
        items = self._items
        taken: list[T] = []
        while items and len(taken) < limit and wanted(items[0]):
            taken.append(items.popleft())
        self._wake_senders()
        return taken

    def _wake_senders(self) -> None:
        if self._senders:
            self._senders.unpark_all()

    def close(self) -> None:
        """Say that nothing will be put any more; what waits can still be taken."""
        self._closed = True
        self._receivers.unpark_all()
        self._for_full.unpark_all()


class Signal:
    """'Something changed, look again': wakes all who wait now, remembers nothing."""

    def __init__(self) -> None:
        self._waiting = trio.lowlevel.ParkingLot()

    def set(self) -> None:
        """Wake everybody who waits."""
        if self._waiting:
            self._waiting.unpark_all()

    async def wait(self) -> None:
        """Sleep until the next `set`."""
        await self._waiting.park()


class Reminder:
    """'Look now', for one task: wakes it, or keeps it from going to sleep the next time."""

    def __init__(self) -> None:
        self._event = trio.Event()

    def set(self) -> None:
        """Wake the one who waits, now or as soon as it waits."""
        self._event.set()

    async def wait(self) -> None:
        """Return when it was set since the last time."""
        await self._event.wait()
        self._event = trio.Event()
