"""A queue for tests: takes jobs as a `Client` does, keeps them in memory, and runs them when asked.

Rule of this file: everything a client checks is checked here by the same code.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from math import inf
from typing import Any, Final, Self
from uuid import UUID

import msgspec

from trioworker.app import App
from trioworker.client import Client
from trioworker.errors import JobFailed, UsageError, WaitTimeout
from trioworker.model.job import NewJob
from trioworker.model.outcome import JobError, Outcome, Retried, Snoozed
from trioworker.model.state import JobState
from trioworker.store.postgres.waits import Waits
from trioworker.testing.clock import FrozenClock
from trioworker.testing.inline import KINDS, on_trio, run_together
from trioworker.testing.memory import Entry, MemoryJobs, NoDatabase
from trioworker.testing.workflow import MemoryWorkflow

RUNS_MAX: Final = 1_000
SHOWN_MAX: Final = 20

Args = Mapping[str, Any] | Sequence[Any]


class MemoryQueue(Client):
    """What a `Client` is to a program, without a database: on Trio and on asyncio.

    With an `app`, function jobs are checked against it, and `drain` runs them. `clock` decides what
    is due; it moves when the test says so.
    """

    def __init__(self, app: App | None = None, *, clock: FrozenClock | None = None) -> None:
        self.clock = clock or FrozenClock()
        self._memory = MemoryJobs(self.clock)
        super().__init__(self._memory, Waits(NoDatabase(), self._memory), app)

    @asynccontextmanager
    async def open_client(self, _url: str = "", **_: object) -> AsyncGenerator[Self, None]:
        """Stands in for `trioworker.open_client` where a test patches it."""
        yield self

    @property
    def new_jobs(self) -> Sequence[NewJob]:
        """All jobs that were enqueued, in their order."""
        return [entry.new for entry in self._memory.entries.values()]

    def enqueued(
        self,
        path: str,
        args: Args | None = None,
        *,
        tag: str | None = None,
        priority: int | None = None,
        delay_s: float | None = None,
        count: int | None = None,
    ) -> list[NewJob]:
        """The jobs that were enqueued like that; what is left out may be anything.

        `args` are compared by name, `delay_s` counts from the enqueue. Raises `AssertionError`,
        with what was enqueued instead, when there are none, or not `count` of them.
        """
        wanted = _Wanted(self._named(path, args), path, tag, priority, delay_s)
        found = [entry.new for entry in self._memory.entries.values() if self._is(entry, wanted)]
        if (count is None and not found) or (count is not None and len(found) != count):
            raise AssertionError(self._missing(wanted, len(found), count))
        return found

    async def drain(
        self, *, raise_failures: bool = True, runs_max: int = RUNS_MAX
    ) -> Sequence[JobState]:
        """Run all jobs that are due, and those that they enqueue; how they stand afterwards.

        Jobs that are due later wait until the clock is moved, and scripts for a worker. Raises
        `JobFailed` for the first that fails, if that is asked for, and `UsageError` when
        `runs_max` attempts were not enough.
        """
        return await on_trio(partial(self._drain, raise_failures, runs_max))

    async def wait(self, job: UUID, *, timeout_s: float | None = None) -> JobState:
        """Drain the queue, unless the job has ended; then its state.

        Raises `UnknownJob`, and `WaitTimeout` when it would not end before the clock is moved.
        """
        del timeout_s
        if not (await self.job(job)).ended:
            await self.drain(raise_failures=False)
        state = await self.job(job)
        if not state.ended:
            raise WaitTimeout(
                f"job {job} is {state.state}, due at {state.scheduled_for}; nobody else runs it,"
                f" and the clock stands at {self.clock.now}"
            )
        return state

    async def run_attempt(self, job: UUID) -> Outcome:
        """Run one attempt of the job, due or not; what came of it is noted."""
        await self.job(job)  # raises when there is none
        return await on_trio(partial(self._run_one, self._memory.entries[job]))

    async def _run_one(self, entry: Entry) -> Outcome:
        (outcome,) = await self._run([entry])
        return outcome

    async def _drain(self, raise_failures: bool, runs_max: int) -> Sequence[JobState]:  # noqa: FBT001 - for partial
        ran: dict[UUID, Entry] = {}
        runs = 0
        while chunk := self._next():
            runs += len(chunk)
            if runs > runs_max:
                raise UsageError(
                    f"after {runs_max} attempts there is still a '{chunk[0].new.path}' due; do jobs"
                    " enqueue or snooze one another for ever?"
                )
            await self._run(chunk)
            ran |= {entry.new.id: entry for entry in chunk}
            if raise_failures:
                _raise_failure(chunk)
        return [entry.state(self.clock.now) for entry in ran.values()]

    def _next(self) -> list[Entry]:
        """The next job, with those that its function takes in the same chunk."""
        due = [entry for entry in self._memory.due() if entry.new.kind in KINDS]
        if not due or due[0].new.kind != "function":
            return due[:1]
        path = due[0].new.path
        function = self._functions.jobs.get(path)
        size = 1 if function is None or function.chunking is None else function.chunking.size
        return [entry for entry in due if entry.new.path == path][:size]

    @property
    def _functions(self) -> App:
        if self._app is None:
            raise UsageError("a queue without an app has no functions to run; MemoryQueue(app) has")
        return self._app

    async def _run(self, entries: Sequence[Entry]) -> list[Outcome]:
        jobs = [entry.claimed() for entry in entries]
        left_s = [self._left_s(entry) for entry in entries]
        for entry in entries:
            entry.running = True
        try:
            workflows = [self._workflow(entry) for entry in entries]
            attempts = await run_together(self._functions, jobs, left_s, workflows)
        finally:
            for entry in entries:
                entry.running = False
        for entry, attempt in zip(entries, attempts, strict=True):
            entry.end_attempt(attempt.outcome, attempt.log, self.clock.now)
        return [attempt.outcome for attempt in attempts]

    def _workflow(self, entry: Entry) -> MemoryWorkflow:
        """What the function of the job may ask for."""

        async def run_one(child: Entry) -> None:
            if child.new.kind not in KINDS:
                raise UsageError(f"the child '{child.new.path}' is a script, and needs a worker")
            await self._run([child])

        return MemoryWorkflow(entry, self._memory, self.clock, run_one)

    def _left_s(self, entry: Entry) -> float:
        deadline = entry.new.options.deadline
        return inf if deadline is None else (deadline - self.clock.now).total_seconds()

    def _named(self, path: str, args: Args | None) -> object:
        return None if args is None else self._by_name(path, msgspec.json.encode(args))

    def _by_name(self, path: str, args: bytes) -> object:
        function = None if self._app is None else self._app.jobs.get(path)
        return msgspec.json.decode(args if function is None else function.signature.by_name(args))

    def _is(self, entry: Entry, wanted: "_Wanted") -> bool:
        new = entry.new
        delay = None if wanted.delay_s is None else timedelta(seconds=wanted.delay_s)
        return (
            new.path == wanted.path
            and wanted.tag in (None, new.tag)
            and wanted.priority in (None, new.priority)
            and delay in (None, (new.scheduled_for or entry.enqueued_at) - entry.enqueued_at)
            and wanted.args in (None, self._by_name(new.path, new.args))
        )

    def _missing(self, wanted: "_Wanted", found: int, count: int | None) -> str:
        entries = list(self._memory.entries.values())
        shown = [_shown(entry) for entry in entries[:SHOWN_MAX]]
        if more := len(entries) - SHOWN_MAX:
            shown += [f"and {more} more"] * (more > 0)
        what = f"{found} jobs" if found else "no job"
        asked = "" if count is None else f", not {count}"
        instead = "\n  ".join(["; enqueued were:", *shown]) if shown else "; the queue is empty"
        return f"{what} like {wanted} enqueued{asked}{instead}"


class _Wanted(msgspec.Struct, frozen=True):
    args: object
    path: str
    tag: str | None
    priority: int | None
    delay_s: float | None

    def __str__(self) -> str:
        shown = [self.path, "" if self.args is None else _json(self.args)]
        shown += [
            f"{name}={value}"
            for name in ("tag", "priority", "delay_s")
            if (value := getattr(self, name)) is not None
        ]
        return " ".join(filter(None, shown))


async def run_job(app: App, path: str, args: dict[str, Any] | list[Any] | None = None) -> Any:  # noqa: ANN401 - JSON
    """Run one attempt of a job here and now, and return its result as JSON gives it.

    Its arguments are checked as at the enqueue. Raises `JobFailed` when it ends otherwise, with the
    status "failure" or "canceled", or "retried" or "snoozed" when a worker would run it again.
    """
    queue = MemoryQueue(app)
    job = await queue.enqueue(path, args)
    outcome = await queue.run_attempt(job)
    if isinstance(outcome, Retried):
        again = f"{outcome.error.message}; another attempt follows in {outcome.delay_s:g} s"
        raise _failed(job, "retried", msgspec.structs.replace(outcome.error, message=again))
    if isinstance(outcome, Snoozed):
        later = f"it asked to be run again in {outcome.delay_s:g} s"
        raise _failed(job, "snoozed", JobError("Snooze", later))
    return await queue.result(job)


def _raise_failure(entries: Sequence[Entry]) -> None:
    for entry in entries:
        if entry.ended_as == "failure":
            assert entry.error is not None
            raise _failed(entry.new.id, "failure", entry.error)


def _failed(job: UUID, status: str, error: JobError) -> JobFailed:
    return JobFailed(
        job, status=status, name=error.name, reason=error.message, traceback=error.traceback
    )


def _shown(entry: Entry) -> str:
    new = entry.new
    delay_s = (entry.due - entry.enqueued_at).total_seconds()
    when = f" delay_s={delay_s:g}" if delay_s > 0 else ""
    return f"{new.path} {new.args.decode()} tag={new.tag} priority={new.priority}{when}"


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
