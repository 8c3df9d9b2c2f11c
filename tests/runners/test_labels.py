"""Labels that jobs are given while they run, wherever that is."""

import json
from collections.abc import AsyncIterator, Sequence
from random import Random

import pytest
import trio

from tests.runners.jobs import a_job, error, result
from tests.runners.label_functions import app
from trioworker.errors import UsageError
from trioworker.model.options import LABELS_MAX
from trioworker.model.outcome import Failed, Outcome, Succeeded
from trioworker.runners.function import FunctionRunner
from trioworker.runners.joblog import JobLog
from trioworker.runners.labels import Labels

FLAVOURS = ("async", "asyncio", "thread", "process")


@pytest.fixture
async def runner() -> AsyncIterator[FunctionRunner]:
    """An open runner with one process."""
    runner = FunctionRunner(app, Random(1), processes=1, concurrency=100)
    async with runner.open():
        yield runner


async def labelled(
    runner: FunctionRunner, path: str, labels: Sequence[str]
) -> tuple[Outcome, list[str]]:
    """The outcome of a job that is given the labels, and those that it has."""
    log = JobLog()
    outcome = await runner.run(a_job(path, json.dumps({"labels": labels})), log)
    return outcome, list(log.labels)


@pytest.mark.parametrize("flavour", FLAVOURS)
async def test_a_job_has_the_labels_that_it_was_given(runner: FunctionRunner, flavour: str) -> None:
    """In the order given, each once."""
    outcome, labels = await labelled(runner, flavour, ["b", "a", "b", "ä"])
    assert result(outcome) == "4"
    assert labels == ["b", "a", "ä"]


@pytest.mark.parametrize("flavour", FLAVOURS)
async def test_a_job_that_fails_has_its_labels_too(runner: FunctionRunner, flavour: str) -> None:
    """They say how it ended."""
    outcome, labels = await labelled(runner, flavour, ["a", "fail"])
    assert error(outcome).name == "ValueError"
    assert labels == ["a", "fail"]


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("bad", ["", "x" * 201, "nul \x00"], ids=repr)
async def test_a_label_that_will_not_do_is_the_jobs_failure(
    runner: FunctionRunner, flavour: str, bad: str
) -> None:
    """Where it was given, in one line; those before it are kept."""
    outcome, labels = await labelled(runner, flavour, ["good", bad])
    assert isinstance(outcome, Failed)
    assert labels == ["good"]


@pytest.mark.parametrize("flavour", ["async", "thread", "process"])
async def test_each_job_of_a_chunk_has_its_own(runner: FunctionRunner, flavour: str) -> None:
    """Whatever its neighbours were given."""
    found: dict[str, list[str]] = {}

    async def one(name: str) -> None:
        outcome, found[name] = await labelled(runner, f"{flavour} chunk", [name, "both"])
        assert isinstance(outcome, Succeeded), outcome

    async with trio.open_nursery() as nursery:
        nursery.start_soon(one, "first")
        nursery.start_soon(one, "second")
    assert found == {"first": ["first", "both"], "second": ["second", "both"]}


def test_there_are_not_too_many() -> None:
    """The one too many is named."""
    labels = Labels()
    for number in range(LABELS_MAX):
        labels.add(str(number))
    labels.add("0")
    with pytest.raises(UsageError, match="more labels than 50: 'more' is one too many"):
        labels.add("more")
    assert len(list(labels)) == LABELS_MAX
