"""One attempt of a job, run here and now by the runners that a worker has.

Rule of this file: it decides nothing about a job that a worker would decide otherwise.
"""

import math
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from random import Random
from typing import Final, TypeVar

import anyio
import anyio.to_thread
import sniffio
import trio

from trioworker.app import App
from trioworker.model.job import Job
from trioworker.model.outcome import Outcome, timed_out
from trioworker.model.retry import cut_at_deadline, past_deadline, settled, tries_of
from trioworker.runners.function import FunctionRunner
from trioworker.runners.immediate import identity_runner, noop_runner
from trioworker.runners.joblog import JobLog
from trioworker.runners.protocol import Runner
from trioworker.runners.workflow import Workflow

T = TypeVar("T")

KINDS: Final = ("function", "noop", "identity")
"""Scripts need their folder and their interpreters; they are for a worker."""


async def on_trio(function: Callable[[], Awaitable[T]]) -> T:
    """Await `function` on Trio: here, or in a thread when the caller runs on asyncio."""
    if sniffio.current_async_library() == "trio":
        return await function()
    return await anyio.to_thread.run_sync(trio.run, function)


async def run_together(
    app: App,
    jobs: Sequence[Job],
    left_s: Sequence[float],
    workflows: Sequence[Workflow],
) -> list["Attempt"]:
    """Run one attempt of each of the jobs, side by side: more than one only for a chunk.

    `left_s` is how long it is for each until its deadline, `workflows` take care of its children.
    What is meant for a process of its own runs in a thread, where it can reach the queue of the
    test.
    """
    rng = Random(0)
    runner = FunctionRunner(app, rng, concurrency=len(jobs), in_processes=False)
    runners: dict[str, Runner] = {
        "function": runner,
        "noop": noop_runner(),
        "identity": identity_runner(),
    }
    attempts = list(map(Attempt, jobs, left_s, workflows))
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(runner.open())
        nursery = await stack.enter_async_context(trio.open_nursery())
        for attempt in attempts:
            nursery.start_soon(attempt.run, runners[attempt.job.kind], rng)
    return attempts


class Attempt:
    """One attempt of a job: what came of it, and what it wrote."""

    def __init__(self, job: Job, left_s: float, workflow: Workflow) -> None:
        self.job = job
        self._left_s = left_s
        self.log = JobLog()
        self.log.workflow = workflow
        self.outcome: Outcome = past_deadline()

    async def run(self, runner: Runner, rng: Random) -> None:
        """Run it, within its timeout and until its deadline."""
        if self._left_s <= 0:
            return
        job, timeout_s = self.job, self.job.options.own_timeout_s
        cut = cut_at_deadline()
        if timeout_s is not None and timeout_s < self._left_s:
            cut = timed_out(timeout_s)
        self.outcome = cut
        with trio.move_on_after(min(self._left_s, math.inf if timeout_s is None else timeout_s)):
            self.outcome = await runner.run(job, self.log)
        self.outcome = settled(
            self.outcome,
            job.options.policy(runner.retry_of(job)),
            tries=tries_of(job),
            left_s=None if self._left_s == math.inf else self._left_s,
            rng=rng,
        )
