"""Functions of an `App`: on Trio, on asyncio, in a thread or in another process.

Rule of this file: whatever a function raises becomes an outcome, `KeyboardInterrupt` and
`SystemExit` too, for a job must not stop its worker. Only a cancellation that comes from outside
goes through.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Final, Literal

import trio
from msgspec import UNSET

from trioworker.app import App, Call, JobContext, JobFunction, RetryIf
from trioworker.children import NO_LINE, Line
from trioworker.errors import UsageError
from trioworker.model.arguments import Signature
from trioworker.model.chunk_arguments import ChunkSignature
from trioworker.model.job import Job
from trioworker.model.options import RetryPolicy
from trioworker.model.outcome import Failed, JobError, Outcome, Snoozed, handing_over, timed_out
from trioworker.runners.asyncio_thread import AsyncioThread
from trioworker.runners.attempted import Attempted
from trioworker.runners.capture import Capture, capturing, current
from trioworker.runners.chunk_call import ChunkCall
from trioworker.runners.chunks import Chunk, Chunks, Member
from trioworker.runners.joblog import JobLog
from trioworker.runners.lines import AsyncioLine, OpenLine, ThreadLine, TrioLine
from trioworker.runners.process_pool import ProcessPool
from trioworker.runners.raised import outcome_of, returned

THREADS_MAX: Final = 64
LEFT_TO_OTHERS: Final = Snoozed(5.0)

Unknown = Literal["fail", "leave"]
Started = Callable[[], Any]


class FunctionRunner:
    """Runs the functions of `app`.

    `unknown` says what becomes of a job whose function `app` does not have: "fail" fails it,
    "leave" snoozes it, so that a worker that knows it can take it.

    At most `threads` jobs are in threads and `processes` (by default one for each CPU) in
    processes. A thread cannot be killed: when its job is cancelled it is left alone, its output
    dropped, and it counts against `threads` until it ends. Functions that run long should call
    `trio.from_thread.check_cancelled()` now and then.

    `concurrency` is how many jobs the worker runs at once: a chunk of so many waits for no more.
    Without `in_processes`, what is meant for a process runs in a thread: for tests.
    """

    def __init__(
        self,
        app: App,
        rng: Random,
        *,
        unknown: Unknown = "fail",
        threads: int = THREADS_MAX,
        processes: int | None = None,
        concurrency: int | None = None,
        in_processes: bool = True,
    ) -> None:
        self.run_now: Callable[[Job], Outcome] | None = None
        self._app = app
        self._unknown = unknown
        self._threads = trio.CapacityLimiter(threads)
        self._pool = ProcessPool(rng, processes=processes)
        self._asyncio = AsyncioThread()
        self._chunks = Chunks(self._run_chunk, concurrency=concurrency)
        self._flavours: dict[str, Callable[[Started, RetryIf | None], Awaitable[Outcome]]] = {
            "async": _on_trio,
            "asyncio": self._on_asyncio,
            "thread": self._in_thread,
            "process": self._in_thread,
        }
        self._in_processes = in_processes

    def retry_of(self, job: Job) -> RetryPolicy | None:
        """What the function says."""
        function = self._app.jobs.get(job.path)
        return None if function is None else function.retry

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Inside this context `print` and `logging` are routed by job.

        Raises `UsageError` when a function of the app takes what JSON cannot hold.
        """
        self._app.check()
        with capturing():
            try:
                async with self._pool.open(), self._chunks.open():
                    yield
            finally:
                await self._asyncio.aclose()

    async def run(self, job: Job, log: JobLog) -> Outcome:
        """Run one job; see `Runner`."""
        function = self._app.jobs.get(job.path)
        if function is None:
            return self._not_mine(job)
        # The job's own timeout is the worker's to keep.
        if function.timeout_s is None or job.options.timeout_s is not UNSET:
            return await self._run(function, job, log)
        with trio.move_on_after(function.timeout_s):
            return await self._run(function, job, log)
        return timed_out(function.timeout_s)

    async def _run(self, function: JobFunction[..., Any], job: Job, log: JobLog) -> Outcome:
        signature = function.signature
        if isinstance(signature, ChunkSignature):
            return await self._in_chunk(function, signature, job, log)
        if function.flavour == "process" and self._in_processes:
            return await self._pool.run(function, job, log)
        capture = Capture(log)
        token = current.set(capture)
        try:
            if not signature.wants_context:
                call = signature.bind(job.args)
                return await self._flavours[function.flavour](call, function.retry_if)
            return await self._with_context(function, signature, job, log, capture)
        except UsageError as error:
            return Failed(JobError(type(error).__name__, str(error)), for_good=True)
        finally:
            current.reset(token)
            capture.close()

    async def _with_context(
        self,
        function: JobFunction[..., Any],
        signature: Signature,
        job: Job,
        log: JobLog,
        capture: Capture,
    ) -> Outcome:
        line = self._line(function, job, log)
        context = _context(job, capture, log.shared, line or NO_LINE)
        call = signature.bind(job.args, context)
        async with nullcontext() if line is None else line.open():
            outcome = await self._flavours[function.flavour](call, function.retry_if)
        return handing_over(outcome, context.statements)

    def _line(self, function: JobFunction[..., Any], job: Job, log: JobLog) -> OpenLine | None:
        """How the function asks for children and steps; None when it cannot."""
        if log.workflow is None or function.flavour == "process":
            return None
        backend = Attempted(self._app, job, log.workflow)
        match function.flavour:
            case "async":
                return TrioLine(backend)
            case "asyncio":
                return AsyncioLine(backend)
            case _:
                return ThreadLine(backend, self._threads)

    async def _in_chunk(
        self, function: JobFunction[..., Any], signature: ChunkSignature, job: Job, log: JobLog
    ) -> Outcome:
        try:
            record = signature.record(job.args)
        except UsageError as error:
            return Failed(JobError(type(error).__name__, str(error)), for_good=True)
        return await self._chunks.run(function, Member(job, record, log))

    async def _run_chunk(
        self, function: JobFunction[..., Any], members: Sequence[Member], chunk: Chunk
    ) -> Sequence[Outcome]:
        if function.flavour == "process" and self._in_processes:
            return await self._pool.run_chunk(function, members, chunk)
        calls = [_call(one) if function.signature.wants_context else one.record for one in members]
        shared = ChunkCall(function.function, calls, function.retry_if)
        waits = function.flavour in {"async", "asyncio"}
        capture = Capture(chunk)
        token = current.set(capture)
        try:
            call = shared.acall if waits else shared.call
            outcome = await self._flavours[function.flavour](call, function.retry_if)
        finally:
            current.reset(token)
            capture.close()
        return shared.outcomes or [outcome] * len(members)

    def _not_mine(self, job: Job) -> Outcome:
        step = job.options.step
        for_all = step is None or step.shared is None
        if self._unknown == "leave" and for_all:
            return LEFT_TO_OTHERS
        return Failed(JobError("UnknownFunction", self._app.unknown(job.path)))

    async def _on_asyncio(self, call: Started, retry_if: RetryIf | None) -> Outcome:
        return await self._asyncio.run(partial(_settled_on_asyncio, call, retry_if))

    async def _in_thread(self, call: Started, retry_if: RetryIf | None) -> Outcome:
        return await trio.to_thread.run_sync(
            _settled_in_thread, call, retry_if, abandon_on_cancel=True, limiter=self._threads
        )


async def _on_trio(call: Started, retry_if: RetryIf | None) -> Outcome:
    try:
        value = await call()
    except BaseException as error:  # noqa: BLE001 - the rule of this file
        if (cancelled := _cancellation_in(error)) is not None:
            raise cancelled from None
        return outcome_of(error, retry_if)
    return returned(value)


async def _settled_on_asyncio(call: Started, retry_if: RetryIf | None) -> Outcome:
    try:
        value = await call()
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # noqa: BLE001 - the rule of this file
        return outcome_of(error, retry_if)
    return returned(value)


def _settled_in_thread(call: Started, retry_if: RetryIf | None) -> Outcome:
    try:
        value = call()
    except trio.Cancelled:
        raise
    except BaseException as error:  # noqa: BLE001 - the rule of this file
        return outcome_of(error, retry_if)
    return returned(value)


def _cancellation_in(error: BaseException) -> BaseException | None:
    """The part of `error` that Trio wants back: all that came from a cancellation outside."""
    if isinstance(error, BaseExceptionGroup):
        return error.split((trio.Cancelled, GeneratorExit))[0]
    return error if isinstance(error, trio.Cancelled | GeneratorExit) else None


def _context(job: Job, capture: Capture, shared: Path | None, line: Line = NO_LINE) -> JobContext:
    return JobContext(
        job.id, job.attempt, job.tag, capture.line, capture.label,
        tell=capture.tell, line=line, shared=shared,
    )  # fmt: skip


def _call(member: Member) -> Call[object]:
    return Call.of(_context(member.job, member.capture, member.log.shared), member.record)
