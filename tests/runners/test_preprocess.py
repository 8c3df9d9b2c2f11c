"""A script's own `preprocess` makes of a job's arguments those of its `main`."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from random import Random

import pytest

from tests.runners.jobs import dedicated_job, error, result, script_job, write
from trioworker.model.job import Job
from trioworker.model.outcome import Outcome
from trioworker.runners.joblog import JobLog
from trioworker.runners.script import ScriptRunner
from trioworker.runners.scripts import Scripts

MakeJob = Callable[..., Job]

PYTHON = """
    def preprocess(args):
        if "crash" in args:
            raise ValueError("no such order")
        return {"order": args["body"]["id"], "fail": args.get("fail", False)}

    def main(order, fail):
        print("main is called")
        if fail:
            raise RuntimeError("failed all the same")
        return ["order", order]
    """
ASYNC = """
    async def preprocess(args):
        return [args["body"]["id"]]

    async def main(order):
        return ["order", order]
    """
NODE = """
    export async function preprocess(args) {
      if (args.crash) throw new TypeError("no such order");
      return { order: args.body.id, fail: args.fail ?? false };
    }
    export function main({ order, fail }) {
      console.log("main is called");
      if (fail) throw new Error("failed all the same");
      return ["order", order];
    }
    """
BOTH = pytest.mark.parametrize("made", [script_job, dedicated_job])
EACH = pytest.mark.parametrize(("name", "text"), [("a.py", PYTHON), ("a.mjs", NODE)])


@pytest.fixture
async def runner(tmp_path: Path) -> AsyncIterator[ScriptRunner]:
    """An open runner over the test's folder."""
    runner = ScriptRunner(Scripts(tmp_path), Random(1))
    async with runner.open():
        yield runner


async def ran(runner: ScriptRunner, job: Job) -> tuple[Outcome, JobLog]:
    """The outcome, and what else is known."""
    log = JobLog()
    return await runner.run(job, log), log


@BOTH
@EACH
async def test_main_gets_what_preprocess_returns(
    runner: ScriptRunner, tmp_path: Path, name: str, text: str, made: MakeJob
) -> None:
    """And it is known beside the result, whichever way the script is run."""
    write(tmp_path / name, text)
    outcome, log = await ran(runner, made(name, '{"body": {"id": 7}}'))
    assert result(outcome) == '["order",7]'
    assert log.preprocessed == '{"order":7,"fail":false}'
    assert log.text() == "main is called\n"


@BOTH
async def test_both_may_be_async(runner: ScriptRunner, tmp_path: Path, made: MakeJob) -> None:
    """And main may take its arguments by position."""
    write(tmp_path / "a.py", ASYNC)
    outcome, log = await ran(runner, made("a.py", '{"body": {"id": 7}}'))
    assert (result(outcome), log.preprocessed) == ('["order",7]', "[7]")


@BOTH
@EACH
async def test_a_main_that_fails_leaves_what_it_was_given(
    runner: ScriptRunner, tmp_path: Path, name: str, text: str, made: MakeJob
) -> None:
    """That is what somebody wants to know then."""
    write(tmp_path / name, text)
    outcome, log = await ran(runner, made(name, '{"body": {"id": 7}, "fail": true}'))
    assert "failed all the same" in error(outcome).message
    assert log.preprocessed == '{"order":7,"fail":true}'


@BOTH
@EACH
async def test_when_preprocess_fails_the_job_does(
    runner: ScriptRunner, tmp_path: Path, name: str, text: str, made: MakeJob
) -> None:
    """Main is not called."""
    write(tmp_path / name, text)
    outcome, log = await ran(runner, made(name, '{"crash": true}'))
    assert "no such order" in error(outcome).message
    assert (log.preprocessed, "main is called" in log.text()) == (None, False)


@BOTH
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.py", "def preprocess(args): return 7\ndef main(): pass"),
        ("a.mjs", "export const preprocess = () => 7;\nexport function main() {}"),
    ],
)
async def test_preprocess_returns_arguments(
    runner: ScriptRunner, tmp_path: Path, name: str, text: str, made: MakeJob
) -> None:
    """An object or an array; the message says so."""
    write(tmp_path / name, text)
    outcome, _ = await ran(runner, made(name))
    assert "; it returns the arguments of main" in error(outcome).message


@BOTH
@pytest.mark.parametrize(
    ("name", "text"),
    [("a.py", "def preprocess(args): return {}"), ("a.mjs", "export function preprocess() {}")],
)
async def test_what_preprocesses_has_a_main(
    runner: ScriptRunner, tmp_path: Path, name: str, text: str, made: MakeJob
) -> None:
    """Or there is nothing to prepare for."""
    write(tmp_path / name, text)
    outcome, _ = await ran(runner, made(name))
    assert "no function main; one that preprocesses needs one" in error(outcome).message


async def test_arguments_that_are_too_large_are_not_kept(
    runner: ScriptRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job goes on, and its log says so."""
    monkeypatch.setattr("trioworker.runners.joblog.ARGS_BYTES_MAX", 10)
    write(tmp_path / "a.py", PYTHON)
    outcome, log = await ran(runner, dedicated_job("a.py", '{"body": {"id": 7}}'))
    assert result(outcome) == '["order",7]'
    assert log.preprocessed is None
    assert "trioworker: the preprocessed arguments have 24 bytes and are not stored" in log.text()
