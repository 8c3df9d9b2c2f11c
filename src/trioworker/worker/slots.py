"""The right to run: so many attempts have it at a time; one that waits for children gives it up.

Rule of this file: who comes back goes before what has not begun, so that what was begun is ended
first. A slot that is given up goes to whoever has waited for it longest.
"""

from collections import deque
from typing import Protocol

import trio


class Holder(Protocol):
    """Somebody who may have a slot."""

    has_slot: bool


class Slots:
    """`size` slots. More are taken only for a moment: by what ends without having come back."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._returning: deque[_Return] = deque()
        self.taken = 0

    @property
    def full(self) -> bool:
        """Whether none is free."""
        return self.taken >= self._size

    @property
    def wanted(self) -> bool:
        """Whether one that is given back now is not for a job that has not begun."""
        return bool(self._returning) or self.taken > self._size

    def take(self) -> None:
        """One more is taken."""
        self.taken += 1

    def give(self) -> None:
        """One is free again, or somebody's who waits for it."""
        if self._returning and self.taken <= self._size:
            self._returning.popleft().get()
        else:
            self.taken -= 1

    async def regain(self, holder: Holder) -> None:
        """Return when `holder` has a slot once more."""
        if not self.full:
            self.take()
            holder.has_slot = True
            return
        back = _Return(holder)
        self._returning.append(back)
        try:
            await back.event.wait()
        finally:
            if not holder.has_slot:
                self._returning.remove(back)


class _Return:
    """One who waits for a slot."""

    def __init__(self, holder: Holder) -> None:
        self._holder = holder
        self.event = trio.Event()

    def get(self) -> None:
        """It has one."""
        self._holder.has_slot = True
        self.event.set()
