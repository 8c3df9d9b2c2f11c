"""What a runner says about a failure, so that somebody can decide whether it is retried."""

from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest

from tests.runners.functions import app
from tests.runners.jobs import Open, a_job, dedicated_job, run, write
from trioworker.app import App
from trioworker.errors import UsageError
from trioworker.model.job import Job
from trioworker.model.options import RetryPolicy
from trioworker.model.outcome import Failed
from trioworker.runners.function import FunctionRunner
from trioworker.runners.raised import outcome_of

FLAVOURS = ("async", "asyncio", "thread", "process")


@pytest.fixture
async def function_runner() -> AsyncIterator[FunctionRunner]:
    """An open runner of the functions."""
    runner = FunctionRunner(app, Random(1))
    async with runner.open():
        yield runner


async def failure_of(runner: FunctionRunner, job: Job) -> Failed:
    """How the job fails."""
    outcome = await run(runner, job)
    assert isinstance(outcome, Failed), outcome
    return outcome


def about(error: BaseException, decided: object) -> Failed:
    """The failure when `retry_if` answers, or raises, what is given."""

    def retry_if(_error: BaseException) -> bool:
        if isinstance(decided, Exception):
            raise decided
        return bool(decided)

    outcome = outcome_of(error, retry_if)
    assert isinstance(outcome, Failed)
    return outcome


@pytest.mark.parametrize("flavour", FLAVOURS)
async def test_a_failure_names_the_classes_of_its_error(
    flavour: str, function_runner: FunctionRunner
) -> None:
    """A policy that means `OSError` means what is derived from it, wherever the function ran."""
    failure = await failure_of(function_runner, a_job(f"{flavour} decided", '{"what": "busy"}'))
    assert failure.error.name == "FileNotFoundError"
    assert failure.kinds == ("OSError", "Exception", "BaseException")


@pytest.mark.parametrize("flavour", FLAVOURS)
async def test_retry_if_decides_where_the_function_ran(
    flavour: str, function_runner: FunctionRunner
) -> None:
    """It gets the exception itself; what it does not want is failed for good."""
    job = f"{flavour} decided"
    busy = await failure_of(function_runner, a_job(job, '{"what": "busy"}'))
    gone = await failure_of(function_runner, a_job(job, '{"what": "gone"}'))
    assert (busy.for_good, gone.for_good) == (False, True)


async def test_the_policy_of_a_function_is_known_by_its_name(
    function_runner: FunctionRunner,
) -> None:
    """That of a function without one, and of a function that is not there, is none."""
    policies = [
        function_runner.retry_of(a_job(name)) for name in ("async decided", "async say", "")
    ]
    assert policies == [RetryPolicy(attempts=3), None, None]


async def test_arguments_that_do_not_fit_will_never_fit(function_runner: FunctionRunner) -> None:
    """Another attempt has the same ones."""
    for flavour in FLAVOURS:
        failure = await failure_of(function_runner, a_job(f"{flavour} decided", '{"wat": 1}'))
        assert (failure.error.name, failure.for_good) == ("InvalidArguments", True)


async def test_a_dedicated_python_script_tells_the_classes_too(
    tmp_path: Path, opened: Open
) -> None:
    """Whoever retries cares for no difference between functions and scripts."""
    write(tmp_path / "bad.py", "def main(): raise FileNotFoundError('no')")
    async with opened() as runner:
        outcome = await run(runner, dedicated_job("bad.py"))
    assert isinstance(outcome, Failed)
    assert outcome.kinds == ("OSError", "Exception", "BaseException")


def test_retry_if_sees_the_one_error_in_a_group() -> None:
    """What a nursery has wrapped is decided about as it is told."""
    group = ExceptionGroup("nursery", [KeyError("k")])
    failure = outcome_of(group, lambda error: isinstance(error, KeyError))
    assert isinstance(failure, Failed)
    assert not failure.for_good
    assert about(group, decided=False).kinds == ("LookupError", "Exception", "BaseException")


def test_a_retry_if_that_fails_says_no_and_why() -> None:
    """The failure is still the job's own, with one half sentence more."""
    failure = about(ValueError("bad"), TypeError("worse"))
    assert failure.for_good
    assert failure.error.name == "ValueError"
    assert failure.error.message == "bad; its retry_if raised TypeError: worse"


async def is_async(_error: BaseException) -> bool:
    """What nobody awaits."""
    return True


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"retry_if": bool}, "say how often with retry="),
        ({"retry_if": is_async, "retry": 2}, "plain function"),
        ({"retry_if": "busy", "retry": 2}, "plain function"),
        ({"retry_if": lambda _: True, "retry": 2, "flavour": "process"}, "top of its module"),
        ({"retry": 0}, "at least 1"),
    ],
)
def test_what_could_never_decide_is_refused_at_declaration(
    settings: dict[str, object], said: str
) -> None:
    """One line that names the job."""
    with pytest.raises(UsageError, match=f"job 'is_busy': .*{said}"):
        App().job(**settings)(_is_busy)  # type: ignore[call-overload]  # as wrong as it is


def _is_busy() -> None: ...


_is_busy.__name__ = "is_busy"


def test_the_apps_policy_is_its_functions() -> None:
    """A function that says nothing has it, and retry_if goes with it."""
    mine = App(retry=4)
    job = mine.job(retry_if=bool)(_is_busy)
    assert job.retry == RetryPolicy(attempts=4)
    assert app.jobs["async say"].retry is None
