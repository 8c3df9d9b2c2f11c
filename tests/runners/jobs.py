"""Jobs for runners, and what they need around them."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from textwrap import dedent
from typing import Final
from uuid import UUID

import psutil
import trio

from trioworker.model.job import Job
from trioworker.model.options import JobOptions
from trioworker.model.outcome import Failed, JobError, Outcome, Succeeded
from trioworker.runners.dedicated import DedicatedRunner
from trioworker.runners.joblog import JobLog
from trioworker.runners.protocol import Runner

Open = Callable[..., AbstractAsyncContextManager[DedicatedRunner]]

TRACKER: Final = "multiprocessing.resource_tracker"

_numbers = count(1)


def a_job(
    path: str,
    args: str = "{}",
    *,
    kind: str = "function",
    tag: str = "default",
    options: JobOptions | None = None,
) -> Job:
    """A claimed job; each has another id."""
    return Job(
        id=UUID(int=next(_numbers)),
        claim=UUID(int=1),
        attempt=1,
        reaped=0,
        kind=kind,
        path=path,
        args=args,
        tag=tag,
        priority=0,
        scheduled_for=datetime(2026, 1, 1, tzinfo=UTC),
        awaited=False,
        options=options or JobOptions(),
    )


def script_job(path: str, args: str = "{}", *, language: str | None = None) -> Job:
    """A one-shot script."""
    return a_job(path, args, kind="script", options=JobOptions(language=language))


def dedicated_job(path: str, args: str = "{}", *, language: str | None = None) -> Job:
    """A dedicated script."""
    options = JobOptions(dedicated=True, language=language)
    return a_job(path, args, kind="script", options=options)


def write(file: Path, text: str) -> Path:
    """Write a script."""
    file.write_text(dedent(text), encoding="utf-8")
    return file


def result(outcome: Outcome) -> str:
    """The JSON of a success; anything else is not what was expected."""
    assert isinstance(outcome, Succeeded), outcome
    return outcome.result.decode()


def error(outcome: Outcome) -> JobError:
    """The error of a failure; anything else is not what was expected."""
    assert isinstance(outcome, Failed), outcome
    return outcome.error


async def run(runner: Runner, job: Job) -> Outcome:
    """Run one job without caring for its log."""
    return await runner.run(job, JobLog())


async def logged(runner: Runner, job: Job) -> tuple[Outcome, str]:
    """The outcome and the log."""
    log = JobLog()
    outcome = await runner.run(job, log)
    return outcome, log.text()


async def run_all(runner: Runner, jobs: list[Job]) -> list[Outcome]:
    """Run all `jobs` at the same time; their outcomes in the same order."""
    outcomes: dict[UUID, Outcome] = {}

    async def one(job: Job) -> None:
        outcomes[job.id] = await run(runner, job)

    async with trio.open_nursery() as nursery:
        for job in jobs:
            nursery.start_soon(one, job)
    return [outcomes[job.id] for job in jobs]


def ran(folder: Path) -> list[str]:
    """What the jobs of a script wrote down when they began."""
    file = folder / "ran"
    return file.read_text().splitlines() if file.exists() else []


def children() -> list[psutil.Process]:
    """The processes that this one has started and not yet reaped.

    Python's own tracker of shared resources, which stays once a test has used it, does not count.
    """
    found = psutil.Process().children(recursive=True)
    return [process for process in found if not _is_tracker(process)]


def _is_tracker(process: psutil.Process) -> bool:
    try:
        return TRACKER in " ".join(process.cmdline())
    except psutil.NoSuchProcess:  # ended, and not yet reaped
        return False


async def until(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    """Wait for something another process does."""
    with trio.fail_after(timeout_s):
        while not condition():  # noqa: ASYNC110 - another process tells us nothing
            await trio.sleep(0.005)
