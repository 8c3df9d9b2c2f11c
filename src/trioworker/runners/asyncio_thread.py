"""One asyncio loop in one background thread, for the jobs that are written for asyncio.

Rule of this file: a Trio task that waits here is bound to its asyncio task in both directions. A
cancellation goes over, and the Trio task leaves only after the asyncio task has ended, so that no
job goes on behind the back of whoever cancelled it.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from typing import Any, Final

import trio

from trioworker.model.outcome import Outcome
from trioworker.runners.raised import failed

JOIN_S: Final = 5.0
"""How long closing waits for the thread; a job's own stuck helper thread may hold it for ever."""

Start = Callable[[], Coroutine[Any, Any, Outcome]]


class AsyncioThread:
    """Starts its thread with the first job; `aclose` ends it."""

    def __init__(self) -> None:
        self._starting = trio.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._main, name="asyncio jobs", daemon=True)

    async def run(self, start: Start) -> Outcome:
        """Run the coroutine that `start` makes, in the caller's context, and wait for it."""
        loop = self._loop or await self._started()
        return await _Crossing(loop, start).wait()

    async def aclose(self) -> None:
        """Stop the loop, which cancels what a job left behind in it, and join the thread."""
        if self._loop is None:
            return
        self._loop.call_soon_threadsafe(self._stop.set)
        with trio.move_on_after(JOIN_S, shield=True):
            await trio.to_thread.run_sync(self._thread.join, abandon_on_cancel=True)

    async def _started(self) -> asyncio.AbstractEventLoop:
        async with self._starting:
            if self._loop is None:
                self._ready = threading.Event()
                self._thread.start()
                await trio.to_thread.run_sync(self._ready.wait)
        assert self._loop is not None
        return self._loop

    def _main(self) -> None:
        with asyncio.Runner() as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ready.set()
        await self._stop.wait()


class _Crossing:
    """One Trio task waiting for one asyncio task."""

    def __init__(self, loop: asyncio.AbstractEventLoop, start: Start) -> None:
        self._loop = loop
        self._start = start
        self._context: Context = copy_context()
        self._waiter = trio.lowlevel.current_task()
        self._trio = trio.lowlevel.current_trio_token()
        self._raise_cancel: trio.lowlevel.RaiseCancelT | None = None
        self._task: asyncio.Task[Outcome] | None = None

    async def wait(self) -> Outcome:
        await trio.lowlevel.checkpoint_if_cancelled()
        self._loop.call_soon_threadsafe(self._begin)
        await trio.lowlevel.wait_task_rescheduled(self._abort)
        assert self._task is not None
        if not self._task.cancelled():
            return self._task.result()
        if self._raise_cancel is not None:
            self._raise_cancel()
        return failed("CancelledError", "the job cancelled its own task")

    def _abort(self, raise_cancel: trio.lowlevel.RaiseCancelT) -> trio.lowlevel.Abort:
        self._raise_cancel = raise_cancel
        self._loop.call_soon_threadsafe(self._cancel)
        return trio.lowlevel.Abort.FAILED

    def _begin(self) -> None:
        self._task = self._loop.create_task(self._start(), context=self._context)
        self._task.add_done_callback(self._end)

    def _cancel(self) -> None:
        assert self._task is not None
        self._task.cancel()

    def _end(self, _task: asyncio.Task[Outcome]) -> None:
        self._trio.run_sync_soon(trio.lowlevel.reschedule, self._waiter)
