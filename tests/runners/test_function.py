"""Functions on Trio, on asyncio, in threads and in processes: what they have in common."""

from collections.abc import AsyncIterator
from random import Random

import pytest
import trio

from tests.runners.functions import app
from tests.runners.jobs import a_job, error, logged, result, run
from trioworker.app import App
from trioworker.model.outcome import Cancelled, JobError, Retried, Snoozed
from trioworker.runners.function import FunctionRunner
from trioworker.runners.joblog import JobLog

FLAVOURS = ("async", "thread", "asyncio", "process")


@pytest.fixture
async def runner() -> AsyncIterator[FunctionRunner]:
    """An open runner with one process."""
    runner = FunctionRunner(app, Random(1), processes=1)
    async with runner.open():
        yield runner


@pytest.mark.parametrize("flavour", FLAVOURS)
async def test_all_that_a_job_writes_is_in_its_log(runner: FunctionRunner, flavour: str) -> None:
    """print, stderr, logging and the context, in the order in which they were used."""
    outcome, log = await logged(runner, a_job(f"{flavour} say"))
    assert result(outcome) == '"1 default True"'
    assert log == "printed twice\nto stderr\nWARNING tasks: logged\nfrom context\n"


@pytest.mark.parametrize("flavour", FLAVOURS)
async def test_a_job_ends_as_it_says(runner: FunctionRunner, flavour: str) -> None:
    """Verdicts and failures mean the same wherever the function runs."""

    async def ending(how: str) -> object:
        return await run(runner, a_job(f"{flavour} refuse", f'["{how}"]'))

    assert await ending("snooze") == Snoozed(3.0)
    assert await ending("retry") == Retried(JobError("Retry", "busy"), 4.0)
    assert await ending("cancel") == Cancelled("enough")


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize(
    ("how", "name", "message"),
    [
        ("error", "ValueError", "no good"),
        ("exit", "SystemExit", "3"),
        ("interrupt", "KeyboardInterrupt", "now"),
    ],
)
async def test_whatever_a_job_raises_is_its_own_failure(
    runner: FunctionRunner, flavour: str, how: str, name: str, message: str
) -> None:
    """The traceback begins in the user's code, and the runner lives on."""
    failure = error(await run(runner, a_job(f"{flavour} refuse", f'["{how}"]')))
    assert (failure.name, failure.message) == (name, message)
    assert failure.traceback is not None
    first_frame = next(line for line in failure.traceback.splitlines() if "File" in line)
    assert "functions.py" in first_frame
    assert isinstance(await run(runner, a_job(f"{flavour} refuse", '["snooze"]')), Snoozed)


@pytest.mark.parametrize("flavour", FLAVOURS)
async def test_arguments_and_results_that_are_not_json_fail_the_job(
    runner: FunctionRunner, flavour: str
) -> None:
    """Both ends of a function are checked, with the same words everywhere."""
    wrong = error(await run(runner, a_job(f"{flavour} refuse", '{"howw":"x"}')))
    assert wrong.name == "InvalidArguments"
    assert wrong.message.endswith("there is no argument 'howw'; it takes how")
    unwritable = error(await run(runner, a_job(f"{flavour} plain")))
    assert unwritable.name == "UnserializableResult"
    assert unwritable.message.startswith("the job returned a object that cannot")


async def test_several_failures_in_one_nursery_are_all_told(runner: FunctionRunner) -> None:
    """A group of failures names each of them."""
    failure = error(await run(runner, a_job("nursery_of_failures", "[2]")))
    assert failure.name == "ExceptionGroup"
    assert sorted(failure.message.split("; ")) == ["ValueError: 0", "ValueError: 1"]
    single = error(await run(runner, a_job("nursery_of_failures", "[1]")))
    assert (single.name, single.message) == ("ValueError", "0")


async def test_jobs_side_by_side_do_not_mix_their_logs(runner: FunctionRunner) -> None:
    """Each task's prints are found in its own log."""
    logs = {word: JobLog() for word in ("one", "two", "three")}
    async with trio.open_nursery() as nursery:
        for word, log in logs.items():
            nursery.start_soon(runner.run, a_job("chatty_neighbours", f'["{word}"]'), log)
    assert {word: log.text() for word, log in logs.items()} == {
        word: f"{word}\n" * 5 for word in logs
    }


async def test_a_function_that_nobody_knows_fails_or_is_left() -> None:
    """The worker's setting decides; a failure says what this worker knows."""
    failing, leaving = (FunctionRunner(App(), Random(1), unknown=u) for u in ("fail", "leave"))
    async with failing.open(), leaving.open():
        failure = error(await run(failing, a_job("elsewhere")))
        assert failure == JobError(
            "UnknownFunction", "unknown job 'elsewhere'; this app has no jobs"
        )
        assert await run(leaving, a_job("elsewhere")) == Snoozed(5.0)
