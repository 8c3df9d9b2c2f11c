"""Dedicated scripts in every language: one process, many jobs, each with its own log."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest

from tests.runners.jobs import (
    dedicated_job,
    error,
    logged,
    result,
    run,
    run_all,
    write,
)
from trioworker.runners.dedicated import DedicatedRunner
from trioworker.runners.host_group import HostLimits
from trioworker.runners.scripts import Scripts

PYTHON = """
    import asyncio, json, os, sys, threading

    def main(do, value=None):
        if do == "echo":
            return value
        if do == "process":
            return os.getpid()
        if do == "print":
            print("a", "b")
            print("to stderr", file=sys.stderr)
            print("no newline", end="")
        if do == "shell":
            os.system("echo from a child; echo to its stderr >&2")
        if do == "raise":
            raise ValueError("no good")
        if do == "unwritable":
            return {1, 2}
        if do == "garbage":
            os.write(1, b"{not json\\n" * 3)
            return "still here"
    """

ASYNC_PYTHON = """
    import asyncio

    async def main(do):
        print("before", do)
        await asyncio.sleep(0.001)
        print("after", do)
        return do
    """

JAVASCRIPT = """
    import { execSync } from "node:child_process";
    import { writeSync } from "node:fs";

    export function main({ do: what, value = null }) {
      if (what === "echo") return value;
      if (what === "process") return process.pid;
      if (what === "print") {
        console.log("a", "b");
        console.error("to stderr");
        process.stdout.write("no newline");
      }
      if (what === "shell") {
        execSync("echo from a child; echo to its stderr >&2", { stdio: "inherit" });
      }
      if (what === "raise") throw new RangeError("no good");
      if (what === "unwritable") return 10n;
      if (what === "garbage") {
        writeSync(1, "{not json\\n".repeat(3));
        return "still here";
      }
    }
    """

ASYNC_JAVASCRIPT = """
    export async function main({ do: what }) {
      console.log("before", what);
      await new Promise((resolve) => setTimeout(resolve, 1));
      console.log("after", what);
      return what;
    }
    """


def needs(program: str) -> pytest.MarkDecorator:
    """Skip where this interpreter is absent."""
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


LANGUAGES = (
    "python",
    "node",
    pytest.param("deno", marks=needs("deno")),
    pytest.param("bun", marks=needs("bun")),
)


@pytest.fixture
async def runner(tmp_path: Path) -> AsyncIterator[DedicatedRunner]:
    """An open runner over the scripts above."""
    write(tmp_path / "all.py", PYTHON)
    write(tmp_path / "async.py", ASYNC_PYTHON)
    write(tmp_path / "all.mjs", JAVASCRIPT)
    write(tmp_path / "async.mjs", ASYNC_JAVASCRIPT)
    runner = DedicatedRunner(Scripts(tmp_path), Random(1), limits=HostLimits(window=50))
    async with runner.open():
        yield runner


@pytest.fixture(params=LANGUAGES)
def language(request: pytest.FixtureRequest) -> str:
    """Each language that can be dedicated."""
    return str(request.param)


def script(name: str, language: str) -> str:
    """The file of the script in this language."""
    return f"{name}.py" if language == "python" else f"{name}.mjs"


async def test_one_process_answers_each_job_with_its_own_result(
    runner: DedicatedRunner, language: str
) -> None:
    """300 jobs at once through a window of 50: every result belongs to its job."""
    path = script("all", language)
    jobs = [
        dedicated_job(path, f'{{"do":"echo","value":{number}}}', language=language)
        for number in range(300)
    ]
    assert [result(o) for o in await run_all(runner, jobs)] == [str(n) for n in range(300)]
    same = [dedicated_job(path, '{"do":"process"}', language=language) for _ in range(3)]
    assert len({result(o) for o in await run_all(runner, same)}) == 1


@pytest.mark.parametrize("value", ["null", '"ä\\u0000€\\n"', '{"a":[1.5,true,{"b":"c"}]}', "[]"])
async def test_json_goes_through_unharmed(
    runner: DedicatedRunner, language: str, value: str
) -> None:
    """Any JSON there and back means the same, odd text included."""
    args = f'{{"do":"echo",\n "value":\n{value}}}'
    back = result(
        await run(runner, dedicated_job(script("all", language), args, language=language))
    )
    assert back in {value, value.replace("\\u0000", "\x00")}


async def test_what_a_job_prints_is_in_its_log(runner: DedicatedRunner, language: str) -> None:
    """Both streams in the order of writing, and an unfinished last line."""
    job = dedicated_job(script("all", language), '{"do":"print"}', language=language)
    outcome, log = await logged(runner, job)
    assert (result(outcome), log) == ("null", "a b\nto stderr\nno newline")


async def test_what_its_children_print_is_in_its_log(
    runner: DedicatedRunner, language: str
) -> None:
    """Output that goes past the interpreter belongs to the job that runs."""
    job = dedicated_job(script("all", language), '{"do":"shell"}', language=language)
    outcome, log = await logged(runner, job)
    assert (result(outcome), log) == ("null", "from a child\nto its stderr\n")


async def test_garbage_on_stdout_is_log_and_no_more(runner: DedicatedRunner, language: str) -> None:
    """The lines of the protocol have a channel of their own."""
    job = dedicated_job(script("all", language), '{"do":"garbage"}', language=language)
    outcome, log = await logged(runner, job)
    assert (result(outcome), log) == ('"still here"', "{not json\n" * 3)


async def test_an_async_main_is_awaited_and_jobs_keep_their_order(
    runner: DedicatedRunner, language: str
) -> None:
    """One job at a time: no job's output lands in another's log."""
    path = script("async", language)
    for number in range(3):
        job = dedicated_job(path, f'{{"do":"{number}"}}', language=language)
        outcome, log = await logged(runner, job)
        assert (result(outcome), log) == (f'"{number}"', f"before {number}\nafter {number}\n")


async def test_a_job_that_raises_fails_alone(runner: DedicatedRunner, language: str) -> None:
    """Class, message, and a traceback that starts in the script; the process lives on."""
    path = script("all", language)
    before = result(await run(runner, dedicated_job(path, '{"do":"process"}', language=language)))
    failure = error(await run(runner, dedicated_job(path, '{"do":"raise"}', language=language)))
    after = result(await run(runner, dedicated_job(path, '{"do":"process"}', language=language)))
    assert failure.name in {"ValueError", "RangeError"}
    assert failure.message == "no good"
    assert failure.traceback is not None
    assert path in failure.traceback
    assert "host." not in failure.traceback
    assert before == after


async def test_a_result_that_is_no_json_fails_the_job(
    runner: DedicatedRunner, language: str
) -> None:
    """The message says so at the place where it happened."""
    job = dedicated_job(script("all", language), '{"do":"unwritable"}', language=language)
    failure = error(await run(runner, job))
    assert failure.name == "UnserializableResult"
    assert "cannot be written as JSON" in failure.message


async def test_a_line_of_fifty_megabytes_goes_both_ways(
    runner: DedicatedRunner, language: str
) -> None:
    """Neither side has a limit that an ordinary large job meets."""
    value = '"' + "x" * 50_000_000 + '"'
    job = dedicated_job(
        script("all", language), f'{{"do":"echo","value":{value}}}', language=language
    )
    assert result(await run(runner, job)) == value


async def test_python_takes_arguments_by_position_too(runner: DedicatedRunner) -> None:
    """An array is passed by position; anything else is told to be wrong."""
    assert result(await run(runner, dedicated_job("all.py", '["echo",7]'))) == "7"
    failure = error(await run(runner, dedicated_job("all.py", "7")))
    assert failure.name == "InvalidArguments"
    assert failure.message == "the arguments must be a JSON object or array, not 7"
    huge = error(await run(runner, dedicated_job("all.py", f'["echo",{"9" * 5000}]')))
    assert huge.name == "InvalidArguments"


async def test_exit_in_a_python_main_fails_the_job_only(
    runner: DedicatedRunner, tmp_path: Path
) -> None:
    """SystemExit and KeyboardInterrupt do not end the process."""
    write(
        tmp_path / "exits.py",
        """
        import os
        def main(raises):
            if raises:
                raise {"exit": SystemExit(3), "interrupt": KeyboardInterrupt()}[raises]
            return os.getpid()
        """,
    )
    jobs = [dedicated_job("exits.py", f'["{how}"]') for how in ("", "exit", "interrupt", "")]
    first, exited, interrupted, last = await run_all(runner, jobs)
    assert result(first) == result(last)
    assert error(exited).name == "SystemExit"
    assert error(interrupted).name == "KeyboardInterrupt"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("exports.cjs", "exports.main = ({ a }) => a;"),
        ("object.cjs", "module.exports = { main: ({ a }) => a };"),
        ("function.cjs", "module.exports = ({ a }) => a;"),
        ("common.js", "exports.main = ({ a }) => a;"),
        ("default.mjs", "export default ({ a }) => a;"),
        pytest.param(
            "typed.ts", "export const main = (x: { a: number }) => x.a;", marks=needs("deno")
        ),
    ],
)
async def test_every_way_to_export_a_main_is_understood(
    runner: DedicatedRunner, tmp_path: Path, name: str, text: str
) -> None:
    """CommonJS, modules, and TypeScript where an interpreter takes it."""
    write(tmp_path / name, text)
    assert result(await run(runner, dedicated_job(name, '{"a":5}'))) == "5"
