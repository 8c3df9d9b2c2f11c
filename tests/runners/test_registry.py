"""All kinds of jobs have a runner."""

from pathlib import Path
from random import Random

from tests.runners.jobs import a_job, error, result, run, script_job, write
from trioworker.app import App
from trioworker.model.job import KINDS
from trioworker.model.outcome import Snoozed
from trioworker.runners.registry import build_runners, open_runners


async def test_every_kind_runs_inside_one_context(tmp_path: Path) -> None:
    """What a worker needs: one call to build, one context to open."""
    app = App()

    @app.job
    async def double(number: int) -> int:
        return 2 * number

    write(tmp_path / "a.sh", "echo 3 > $TRIOWORKER_RESULT")
    runners = build_runners(app, scripts_dir=tmp_path, rng=Random(1))
    assert set(runners) == {*KINDS} - {"approval", "dependencies"}
    async with open_runners(runners):
        assert result(await run(runners["function"], a_job("double", "[4]"))) == "8"
        assert result(await run(runners["script"], script_job("a.sh"))) == "3"
        assert result(await run(runners["noop"], a_job("x", "[1]"))) == "null"
        assert result(await run(runners["identity"], a_job("x", '["ä"]'))) == '["ä"]'


def test_jobs_that_never_wait_are_run_without_a_task(tmp_path: Path) -> None:
    """Only noop, identity and flow offer it."""
    runners = build_runners(None, scripts_dir=tmp_path, rng=Random(1))
    immediate = {kind for kind, runner in runners.items() if runner.run_now is not None}
    assert immediate == {"noop", "identity", "flow"}
    for kind, expected in (("noop", "null"), ("identity", "[1]")):
        run_now = runners[kind].run_now
        assert run_now is not None
        assert result(run_now(a_job("x", "[1]"))) == expected


async def test_without_an_app_no_function_is_known(tmp_path: Path) -> None:
    """The setting says what becomes of functions."""
    failing = build_runners(None, scripts_dir=tmp_path, rng=Random(1))
    leaving = build_runners(None, scripts_dir=tmp_path, rng=Random(1), unknown="leave")
    async with open_runners(failing), open_runners(leaving):
        assert error(await run(failing["function"], a_job("f"))).name == "UnknownFunction"
        assert isinstance(await run(leaving["function"], a_job("f")), Snoozed)
