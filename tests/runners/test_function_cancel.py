"""What a cancellation does to a function, wherever it runs, and what the runner survives."""

import os
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from random import Random

import psutil
import pytest
import trio

from tests.runners.functions import Gate, app, background, gate
from tests.runners.jobs import a_job, error, logged, result, run, until
from trioworker.model.outcome import Outcome
from trioworker.runners.function import FunctionRunner
from trioworker.runners.joblog import JobLog


@pytest.fixture
async def runner() -> AsyncIterator[FunctionRunner]:
    """An open runner with one thread and two processes; the gate is as new."""
    Gate.__init__(gate)
    runner = FunctionRunner(app, Random(1), threads=1, processes=2)
    async with runner.open():
        yield runner
        gate.left.set()


async def cancelled(
    runner: FunctionRunner, path: str, args: str = "{}", *, once: Callable[[], bool] | None = None
) -> JobLog:
    """Start a job, cancel it once it waits, and hold that the cancellation came through."""
    log = JobLog()
    outcomes: list[Outcome] = []
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def attempt() -> None:
                outcomes.append(await runner.run(a_job(path, args), log))

            await until(once or gate.entered.is_set)
            scope.cancel()
    assert scope.cancelled_caught
    assert outcomes == []
    return log


@pytest.mark.parametrize("path", ["async_wait", "asyncio_wait"])
async def test_a_cancelled_coroutine_has_ended_when_the_runner_says_so(
    runner: FunctionRunner, path: str
) -> None:
    """Clean-up in the job is over before the cancellation goes on."""
    await cancelled(runner, path)
    assert gate.ended_as == "cancelled"


async def test_a_failure_beside_a_cancellation_does_not_hide_it(runner: FunctionRunner) -> None:
    """What the worker asked for counts, not what the job raised on its way out."""
    await cancelled(runner, "fails_while_cancelled")


async def test_a_cancelled_thread_is_left_alone_and_counts_until_it_ends(
    runner: FunctionRunner,
) -> None:
    """Its output is dropped, and no other thread job starts beyond the limit."""
    log = await cancelled(runner, "thread_wait")
    assert gate.ended_as == ""
    with trio.move_on_after(0.05) as waiting:
        await run(runner, a_job("thread say"))
    assert waiting.cancelled_caught
    gate.left.set()
    assert result(await run(runner, a_job("thread say"))) == '"1 default True"'
    assert gate.ended_as == "left"
    assert log.text() == ""


async def test_a_thread_may_ask_whether_to_go_on(runner: FunctionRunner) -> None:
    """trio.from_thread.check_cancelled() ends a long job early."""
    await cancelled(runner, "thread_asks")
    await until(lambda: gate.ended_as == "cancelled")


async def test_a_thread_may_raise_what_no_coroutine_can(runner: FunctionRunner) -> None:
    """StopIteration is a failure like any other."""
    assert error(await run(runner, a_job("thread_raises_stop"))).name == "StopIteration"


async def test_an_asyncio_job_that_cancels_itself_has_failed(runner: FunctionRunner) -> None:
    """Nobody asked for it, so it is no cancellation of ours."""
    failure = error(await run(runner, a_job("asyncio_cancels_itself")))
    assert (failure.name, failure.message) == ("CancelledError", "the job cancelled its own task")


async def test_asyncio_jobs_share_one_thread_that_ends_with_the_runner() -> None:
    """The loop is stopped, what was left in it is cancelled, and the thread is gone."""
    background.clear()
    runner = FunctionRunner(app, Random(1))
    async with runner.open():
        job = "asyncio_leaves_a_task_behind"
        first, second = [int(result(await run(runner, a_job(job)))) for _ in range(2)]
        assert first == second != threading.get_ident()
    assert first not in {thread.ident for thread in threading.enumerate()}
    assert [task.cancelled() for task in background] == [True, True]


async def test_a_cpu_bound_function_runs_in_another_process(runner: FunctionRunner) -> None:
    """The same process serves one job after the other."""
    first = result(await run(runner, a_job("process_id", "[3]")))
    second = result(await run(runner, a_job("process_id", "[4]")))
    assert first.endswith(",9]")
    assert second.endswith(",16]")
    assert first.split(",")[0] == second.split(",")[0] != f"[{os.getpid()}"


@pytest.mark.parametrize(
    ("path", "args", "how"),
    [
        ("process_exits", "[3]", "exited with status 3"),
        ("process_crashes", "[]", "was killed by SIGSEGV"),
    ],
)
async def test_a_job_that_kills_its_process_fails_alone(
    runner: FunctionRunner, path: str, args: str, how: str
) -> None:
    """Its failure says how the process ended; its neighbours and those after it run on."""
    outcomes: dict[str, Outcome] = {}

    async def one(name: str, job_args: str) -> None:
        outcomes[name] = await run(runner, a_job(name, job_args))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(one, path, args)
        nursery.start_soon(one, "process_id", "[3]")
    failure = error(outcomes[path])
    assert failure.name == "ProcessDied"
    assert failure.message.startswith(f"the process {how} while it ran this job; ")
    assert result(outcomes["process_id"]).endswith(",9]")
    assert result(await run(runner, a_job("process_id", "[5]"))).endswith(",25]")


async def test_the_last_words_of_a_dead_process_are_kept(runner: FunctionRunner) -> None:
    """What the job printed before the crash is in its log and in the message."""
    outcome, log = await logged(runner, a_job("process_exits", "[1]"))
    assert log == "about to leave\n"
    assert error(outcome).message.endswith("last output: about to leave")


async def test_a_cancelled_process_is_killed(runner: FunctionRunner, tmp_path: Path) -> None:
    """A loop that listens to nobody ends with its process; the pool goes on."""
    file = tmp_path / "pid"
    await cancelled(
        runner,
        "process_waits",
        f'["{file}"]',
        once=lambda: file.exists() and file.read_text() != "",
    )
    pid = int(file.read_text())
    await until(lambda: not psutil.pid_exists(pid))
    assert result(await run(runner, a_job("process_id", "[5]"))).endswith(",25]")


async def test_what_a_child_of_a_process_prints_is_logged(runner: FunctionRunner) -> None:
    """Output that bypasses Python finds its job too."""
    outcome, log = await logged(runner, a_job("process_shells"))
    assert (result(outcome), log) == ("null", "from a child\n")
