"""How a function gets to Trio with what it asks for: it is there, on asyncio, or in a thread.

Rule of this file: what is asked for lives in a nursery of the attempt. When the attempt ends, or is
cancelled, so is all that it still asks for; and what nobody waits for any more is cancelled, too.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import CancelledError, Future, InvalidStateError
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import partial
from typing import Any, Protocol, TypeVar

import trio

from trioworker.children import Backend, Flavour
from trioworker.errors import UsageError

T = TypeVar("T")


class OpenLine(Protocol):
    """A `Line` that exists for as long as an attempt."""

    flavour: Flavour
    backend: Backend

    def open(self) -> AbstractAsyncContextManager[None]:
        """The attempt runs inside this context."""
        ...

    async def ask(self, ask: Callable[[], Awaitable[T]]) -> T:
        """See `Line`."""
        ...

    def ask_from_thread(self, ask: Callable[[], Awaitable[T]]) -> T:
        """See `Line`."""
        ...


class TrioLine:
    """For functions on Trio."""

    flavour: Flavour = "async"

    def __init__(self, backend: Backend) -> None:
        self.backend = backend

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Nothing is needed."""
        yield

    async def ask(self, ask: Callable[[], Awaitable[T]]) -> T:
        """See `Line`."""
        return await ask()

    def ask_from_thread(self, ask: Callable[[], Awaitable[T]]) -> T:  # noqa: ARG002 - see below
        """Nobody asks so."""
        raise UsageError("this function does not run in a thread")


class _Bridge:
    """Takes what is asked for over to Trio, and back."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self._trio = trio.lowlevel.current_trio_token()
        self._nursery: trio.Nursery | None = None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """What is asked for lives inside this context."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            try:
                yield
            finally:
                self._nursery = None
                nursery.cancel_scope.cancel()

    def _sent(self, ask: Callable[[], Awaitable[T]]) -> "Future[T]":
        future: Future[T] = Future()
        try:
            self._trio.run_sync_soon(self._begin, ask, future)
        except trio.RunFinishedError:
            future.cancel()
        return future

    def _begin(self, ask: Callable[[], Awaitable[T]], future: "Future[T]") -> None:
        if self._nursery is None:
            future.cancel()
        else:
            self._nursery.start_soon(self._do, ask, future)

    async def _do(self, ask: Callable[[], Awaitable[T]], future: "Future[T]") -> None:
        scope = trio.CancelScope()
        future.add_done_callback(partial(self._left, scope))
        try:
            with scope:
                value = await self._asked(ask)
                with suppress(InvalidStateError):
                    future.set_result(value)
        except Exception as error:  # noqa: BLE001 - it is told to whoever asks
            with suppress(InvalidStateError):
                future.set_exception(error)
        finally:
            future.cancel()

    async def _asked(self, ask: Callable[[], Awaitable[T]]) -> T:
        return await ask()

    def _left(self, scope: trio.CancelScope, future: "Future[Any]") -> None:
        if future.cancelled():
            with suppress(trio.RunFinishedError):
                self._trio.run_sync_soon(scope.cancel)


class AsyncioLine(_Bridge):
    """For functions on asyncio."""

    flavour: Flavour = "asyncio"

    async def ask(self, ask: Callable[[], Awaitable[T]]) -> T:
        """See `Line`."""
        return await asyncio.wrap_future(self._sent(ask))

    def ask_from_thread(self, ask: Callable[[], Awaitable[T]]) -> T:  # noqa: ARG002 - see below
        """Nobody asks so."""
        raise UsageError("this function does not run in a thread")


class ThreadLine(_Bridge):
    """For functions in threads, of which `threads` may run at a time.

    One that waits here does not run, so another may: the children may be functions in threads, too.
    """

    flavour: Flavour = "thread"

    def __init__(self, backend: Backend, threads: trio.CapacityLimiter) -> None:
        super().__init__(backend)
        self._threads = threads

    async def ask(self, ask: Callable[[], Awaitable[T]]) -> T:  # noqa: ARG002 - see below
        """Nobody asks so."""
        raise UsageError("this function runs in a thread and cannot await")

    def ask_from_thread(self, ask: Callable[[], Awaitable[T]]) -> T:
        """See `Line`."""
        future = self._sent(ask)
        try:
            return future.result()
        except CancelledError:
            trio.from_thread.check_cancelled()
            raise

    async def _asked(self, ask: Callable[[], Awaitable[T]]) -> T:
        self._threads.total_tokens += 1
        try:
            return await ask()
        finally:
            self._threads.total_tokens -= 1
