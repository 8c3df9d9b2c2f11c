"""What functions hand over comes with their success, wherever they run."""

from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest

from tests.runners.handing_functions import SQL, VALUES, app
from tests.runners.jobs import Open, a_job, dedicated_job, error, run, run_all, write
from trioworker.model.outcome import Succeeded
from trioworker.model.user_statement import UserStatement
from trioworker.runners.function import FunctionRunner

FLAVOURS = ("async", "thread", "asyncio", "process")


@pytest.fixture
async def runner() -> AsyncIterator[FunctionRunner]:
    """An open runner with one process."""
    runner = FunctionRunner(app, Random(1), processes=1)
    async with runner.open():
        yield runner


@pytest.mark.parametrize("flavour", FLAVOURS)
async def test_a_success_has_what_was_handed_over(runner: FunctionRunner, flavour: str) -> None:
    """In order, and each value as it was, also from another process."""
    outcome = await run(runner, a_job(flavour, '["fine"]'))
    assert isinstance(outcome, Succeeded)
    assert outcome.statements == (
        UserStatement(SQL, VALUES),
        UserStatement("select $1", ('{"how":"fine"}',)),
    )
    assert [type(value) for value in outcome.statements[0].values] == [type(v) for v in VALUES]


@pytest.mark.parametrize("flavour", FLAVOURS)
async def test_a_failure_has_none(runner: FunctionRunner, flavour: str) -> None:
    """What was handed over before is forgotten; a bad statement is a failure that says so."""
    assert error(await run(runner, a_job(flavour, '["fail"]'))).name == "ValueError"
    bad = error(await run(runner, a_job(flavour, '["commit"]')))
    assert bad.name == "UsageError"
    assert bad.message.endswith("this one begins with 'commit'")
    again = await run(runner, a_job(flavour, '["fine"]'))
    assert isinstance(again, Succeeded)
    assert len(again.statements) == 2


@pytest.mark.parametrize("flavour", FLAVOURS)
async def test_each_job_of_a_chunk_has_its_own(runner: FunctionRunner, flavour: str) -> None:
    """Those that fail have none, and their neighbours have theirs."""
    jobs = [a_job(f"{flavour} chunk", f'{{"how":"{how}"}}') for how in ("a", "fail", "b")]
    first, failed, last = await run_all(runner, jobs)
    assert first == Succeeded(b'"a"', (UserStatement("select $1", ("a",)),))
    assert error(failed).name == "ValueError"
    assert last == Succeeded(b'"b"', (UserStatement("select $1", ("b",)),))


SLY = """
    import contextlib, json, os

    def main(statements):
        line = json.dumps({"id": 1, "result": "mine", "statements": statements}) + "\\n"
        for descriptor in range(3, 300):
            with contextlib.suppress(OSError):
                os.write(descriptor, line.encode())
    """


async def test_a_script_hands_over_nothing(opened: Open, tmp_path: Path) -> None:
    """A script that writes the line of a function itself has a result, or fails, and no more."""
    write(tmp_path / "sly.py", SLY)
    async with opened() as runner:
        told = await run(runner, dedicated_job("sly.py", '{"statements":[["select 1",[]]]}'))
        assert told == Succeeded(b'"mine"')
    async with opened() as runner:
        bad = error(await run(runner, dedicated_job("sly.py", '{"statements":[["commit",[]]]}')))
        assert bad.name == "InvalidReply"
