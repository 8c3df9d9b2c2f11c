"""Chunk functions: jobs that wait for the same function become one call of it.

Rule of this file: the call is shared and nothing else. Each job waits for its own outcome in its
own task, where the worker can cancel it: it leaves, and the chunk goes on for the others. When
nobody is left, the call itself is cancelled.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from math import inf
from typing import Any, Final

import trio

from trioworker.app import JobFunction
from trioworker.model.job import Job
from trioworker.model.outcome import Outcome
from trioworker.runners.capture import Capture
from trioworker.runners.joblog import JobLog

SHARED_LOG_CHARS_MAX: Final = 4_000
"""What is kept of a chunk's output besides its jobs' logs: the last words of a dead process."""


class Member:
    """One job of a chunk. `record` is made of its arguments, `capture` writes to its log alone."""

    __slots__ = ("_ended", "_outcome", "capture", "job", "log", "record")

    def __init__(self, job: Job, record: object, log: JobLog) -> None:
        self.job = job
        self.record = record
        self.log = log
        self.capture = Capture(log)
        self._ended = trio.Event()
        self._outcome: Outcome | None = None

    async def outcome(self) -> Outcome:
        """The outcome, once there is one."""
        await self._ended.wait()
        assert self._outcome is not None
        return self._outcome

    def end(self, outcome: Outcome) -> None:
        """Wake whoever waits."""
        self._outcome = outcome
        self._ended.set()


class Chunk(JobLog):
    """The jobs that share a call, and the log of what the call writes: it goes to all of theirs."""

    def __init__(self, function: JobFunction[..., Any]) -> None:
        super().__init__(SHARED_LOG_CHARS_MAX)
        self.function = function
        self.members: list[Member] = []
        self.scope = trio.CancelScope()
        self.full = trio.Event()
        self.over = trio.Event()

    def write(self, text: str) -> None:
        """Append to the log of each job that is still there; called in any thread."""
        super().write(text)
        for member in self.members:
            member.log.write(text)


RunChunk = Callable[[JobFunction[..., Any], Sequence[Member], Chunk], Awaitable[Sequence[Outcome]]]


class Chunks:
    """Gathers the jobs of chunk functions and has them run by `run`, up to their size at once.

    No more than `concurrency` jobs are ever here at once, so that a chunk of so many is full.
    """

    def __init__(self, run: RunChunk, *, concurrency: int | None) -> None:
        self._run = run
        self._concurrency = inf if concurrency is None else concurrency
        self._gathering: dict[str, Chunk] = {}

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """The chunks live inside this context."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            yield
            nursery.cancel_scope.cancel()

    async def run(self, function: JobFunction[..., Any], member: Member) -> Outcome:
        """Run one job in a chunk with others."""
        chunk = self._joined(function, member)
        try:
            return await member.outcome()
        except trio.Cancelled:
            await self._leave(chunk, member)
            raise
        finally:
            member.capture.close()

    def _joined(self, function: JobFunction[..., Any], member: Member) -> Chunk:
        chunk = self._gathering.get(function.name)
        if chunk is None:
            chunk = self._gathering[function.name] = Chunk(function)
            self._nursery.start_soon(self._live, chunk)
        chunk.members.append(member)
        assert function.chunking is not None
        if len(chunk.members) >= min(function.chunking.size, self._concurrency):
            self._close(chunk)
        return chunk

    async def _leave(self, chunk: Chunk, member: Member) -> None:
        """One job waits no more; the last one sees to it that the call has ended."""
        chunk.members = [other for other in chunk.members if other is not member]
        if not chunk.members:
            self._close(chunk)
            chunk.scope.cancel()
            with trio.CancelScope(shield=True):
                await chunk.over.wait()

    def _close(self, chunk: Chunk) -> None:
        """Nobody joins any more."""
        if self._gathering.get(chunk.function.name) is chunk:
            del self._gathering[chunk.function.name]
        chunk.full.set()

    async def _live(self, chunk: Chunk) -> None:
        try:
            with chunk.scope:
                await self._linger(chunk)
                if members := tuple(chunk.members):
                    outcomes = await self._run(chunk.function, members, chunk)
                    for member, outcome in zip(members, outcomes, strict=True):
                        member.end(outcome)
        finally:
            self._close(chunk)
            chunk.over.set()

    async def _linger(self, chunk: Chunk) -> None:
        assert chunk.function.chunking is not None
        with trio.move_on_after(chunk.function.chunking.linger_s):
            await chunk.full.wait()
        self._close(chunk)
