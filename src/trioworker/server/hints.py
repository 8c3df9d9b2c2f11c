"""Who waits for a hint: what the database's notifications become for workers without a line to it.

Rule of this file: hints are never the truth. A worker that comes for the first time, or again after
a long while, is told that anything may have happened; what is kept for it has no more entries than
it has tags, and waits for jobs.
"""

from collections.abc import Iterable, Sequence
from typing import Final
from uuid import UUID

import trio

from trioworker.store.protocol import Hint
from trioworker.store.wire import Hints

KEPT_S: Final = 60.0
"""How long hints are kept for a worker that does not come for them."""
EXPECTED_MAX: Final = 100_000
"""About so many jobs one worker waits for; of others it hears when it looks itself."""


class Waiting:
    """What is kept for one worker."""

    def __init__(self, tags: Sequence[str]) -> None:
        self.tags = frozenset(tags)
        self.found: dict[str, None] = {}
        self.cancels = False
        self.expected: set[str] = set()
        self.done: list[str] = []
        self.anything = True
        self.here = 0
        self.left_s = trio.current_time()
        self.changed = trio.Event()

    def take(self) -> Hints:
        """What there is, once."""
        hints = Hints(tuple(self.found), self.cancels, self.anything, tuple(self.done))
        self.found, self.cancels, self.anything, self.done = {}, False, False, []
        self.changed = trio.Event()
        return hints


class Hub:
    """The workers that wait for hints at this server."""

    def __init__(self) -> None:
        self._waiting: dict[UUID, Waiting] = {}

    def heard(self, hint: Hint) -> None:
        """Keep `hint` for whom it concerns; all others are left to sleep."""
        if hint.cancel_for is not None:
            self._cancel_for(hint.cancel_for)
            return
        if hint.done is not None:
            self._done(hint.done)
            return
        for waiting in self._waiting.values():
            if hint.tag is None:
                waiting.anything = True
            elif hint.tag in waiting.tags:
                waiting.found[hint.tag] = None
            else:
                continue
            waiting.changed.set()

    async def wait(self, worker: UUID, tags: Sequence[str]) -> Hints:
        """The hints for `worker`, as soon as there is one."""
        self._forget()
        waiting = self._waiting.get(worker)
        if waiting is None or waiting.tags != frozenset(tags):
            waiting = self._waiting[worker] = Waiting(tags)
            waiting.changed.set()
        waiting.here += 1
        try:
            await waiting.changed.wait()
        finally:
            waiting.here -= 1
            waiting.left_s = trio.current_time()
        return waiting.take()

    def expect(self, worker: UUID, jobs: Iterable[UUID]) -> None:
        """It is to hear when these jobs have ended, as far as there is room to remember them."""
        waiting = self._waiting.get(worker)
        if waiting is not None and len(waiting.expected) < EXPECTED_MAX:
            waiting.expected.update(map(str, jobs))

    def leave(self, worker: UUID) -> None:
        """It does not come again."""
        self._waiting.pop(worker, None)

    def _cancel_for(self, worker: str) -> None:
        try:
            waiting = self._waiting.get(UUID(worker))
        except ValueError:
            return
        if waiting is not None:
            waiting.cancels = True
            waiting.changed.set()

    def _done(self, job: str) -> None:
        for waiting in self._waiting.values():
            if job in waiting.expected:
                waiting.expected.remove(job)
                waiting.done.append(job)
                waiting.changed.set()

    def _forget(self) -> None:
        long_ago_s = trio.current_time() - KEPT_S
        gone = [
            w for w, kept in self._waiting.items() if not kept.here and kept.left_s < long_ago_s
        ]
        for worker in gone:
            del self._waiting[worker]
