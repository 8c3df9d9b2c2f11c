"""One-shot scripts: a process group for each job, and nothing left of it."""

import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import psutil
import pytest
import trio

from tests.runners.jobs import (
    a_job,
    children,
    dedicated_job,
    error,
    logged,
    result,
    run,
    run_all,
    script_job,
    until,
    write,
)
from trioworker.runners import script as script_module
from trioworker.runners.joblog import JobLog
from trioworker.runners.script import OneShotRunner, ScriptRunner
from trioworker.runners.scripts import Scripts

ECHO = {
    "echo.py": """
        import json, os, sys
        args = json.load(open(os.environ["TRIOWORKER_ARGS"]))
        assert args == json.load(sys.stdin)
        print("out"); print("err", file=sys.stderr)
        json.dump([args, os.environ["TRIOWORKER_TAG"]], open(os.environ["TRIOWORKER_RESULT"], "w"))
        """,
    "echo.sh": """
        echo out; echo err >&2
        cat > stdin.json
        cmp stdin.json "$TRIOWORKER_ARGS" || exit 1
        echo "[ $(cat stdin.json), \\"$TRIOWORKER_TAG\\" ]" > "$TRIOWORKER_RESULT"
        """,
    "echo.mjs": """
        import { readFileSync, writeFileSync } from "node:fs";
        const args = JSON.parse(readFileSync(process.env.TRIOWORKER_ARGS));
        console.log("out"); console.error("err");
        const result = [args, process.env.TRIOWORKER_TAG];
        writeFileSync(process.env.TRIOWORKER_RESULT, JSON.stringify(result));
        """,
}


@pytest.fixture
async def runner(tmp_path: Path) -> AsyncIterator[ScriptRunner]:
    """An open runner over the test's folder."""
    runner = ScriptRunner(Scripts(tmp_path), Random(1))
    async with runner.open():
        yield runner


@pytest.mark.parametrize("name", ECHO)
async def test_a_script_reads_its_arguments_and_writes_its_result(
    runner: ScriptRunner, tmp_path: Path, name: str
) -> None:
    """The same in each language; both output streams are the log."""
    write(tmp_path / name, ECHO[name])
    outcome, log = await logged(runner, script_job(name, '{"a": ["ä", 1]}'))
    assert json.loads(result(outcome)) == [{"a": ["ä", 1]}, "default"]
    assert log == "out\nerr\n"


@pytest.mark.parametrize("language", ["node", "deno", "bun"])
async def test_the_job_may_name_the_language(
    runner: ScriptRunner, tmp_path: Path, language: str
) -> None:
    """Where several could run a file, the job decides."""
    if shutil.which(language) is None:
        pytest.skip(f"{language} is not installed")
    write(tmp_path / "a.mjs", "console.log(process.versions.deno, process.versions.bun)")
    _, log = await logged(runner, script_job("a.mjs", language=language))
    assert [version != "undefined" for version in log.split()] == [
        language == "deno",
        language == "bun",
    ]


async def test_a_script_without_result_succeeds_with_null(
    runner: ScriptRunner, tmp_path: Path
) -> None:
    """Many scripts are run for what they do."""
    write(tmp_path / "quiet.sh", "true")
    assert result(await run(runner, script_job("quiet.sh"))) == "null"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("echo -n '{bad' > $TRIOWORKER_RESULT", "the script's result is not JSON: "),
        (
            "printf '\"\\377\"' > $TRIOWORKER_RESULT",
            "the script's result is not JSON: 'utf-8'",
        ),
        ("touch $TRIOWORKER_RESULT", "the script's result is not JSON: Input data was truncated"),
        ("mkfifo $TRIOWORKER_RESULT", "the script's result is not an ordinary file"),
        ("echo 12345678901 > $TRIOWORKER_RESULT", "the script's result is too large: 12 bytes, at"),
    ],
)
async def test_a_result_that_is_no_json_fails_the_job(
    runner: ScriptRunner,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    message: str,
) -> None:
    """The message says what is wrong with it."""
    monkeypatch.setattr(script_module, "RESULT_BYTES_MAX", 10)
    write(tmp_path / "a.sh", text)
    failure = error(await run(runner, script_job("a.sh")))
    assert failure.name == "InvalidResult"
    assert failure.message.startswith(message)


async def test_a_result_that_is_nested_too_deeply_fails_the_job(
    runner: ScriptRunner, tmp_path: Path
) -> None:
    """And not the worker."""
    write(tmp_path / "a.sh", "printf '%0100000d' 0 | tr 0 '[' > $TRIOWORKER_RESULT")
    failure = error(await run(runner, script_job("a.sh")))
    assert failure.name == "InvalidResult"


async def test_a_script_that_fails_tells_its_status_and_last_words(
    runner: ScriptRunner, tmp_path: Path
) -> None:
    """Non-zero means failed, whatever it left as a result."""
    write(tmp_path / "a.sh", "echo 1 > $TRIOWORKER_RESULT; echo no luck; exit 7")
    write(tmp_path / "b.sh", "kill -9 $$")
    exited, killed = await run_all(runner, [script_job("a.sh"), script_job("b.sh")])
    assert error(exited).name == "ScriptFailed"
    assert error(exited).message == "the script exited with status 7; last output: no luck"
    assert error(killed).message == "the script was killed by SIGKILL; it wrote no output"


async def test_output_is_logged_as_it_comes_and_bounded(
    runner: ScriptRunner, tmp_path: Path
) -> None:
    """A character cut in two is put together, bytes that are none are marked."""
    write(
        tmp_path / "a.sh",
        r"""
        printf '\303'; sleep 0.02; printf '\244\n\377\n'
        head -c 1000000 /dev/zero | tr '\0' x
        """,
    )
    _, log = await logged(runner, script_job("a.sh"))
    assert log.startswith("ä\n\ufffd\nxxx")
    assert "characters left out" in log
    assert len(log) < 70_000


async def test_each_job_has_a_working_folder_of_its_own_that_goes_with_it(
    runner: ScriptRunner, tmp_path: Path
) -> None:
    """What a script leaves lying about is cleaned up."""
    write(tmp_path / "a.sh", "ls -A; touch left; pwd > $TRIOWORKER_RESULT.path; pwd")
    _, log = await logged(runner, script_job("a.sh"))
    folder = Path(log.strip())
    assert folder.name == "work"
    assert not folder.parent.exists()


async def cancelled(runner: ScriptRunner, name: str, begun: Path) -> JobLog:
    """Start a script and cancel it once it has written a file."""
    log = JobLog()
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(runner.run, script_job(name), log)
            await until(lambda: begun.exists() and begun.read_text().endswith("\n"))
            scope.cancel()
    assert scope.cancelled_caught
    return log


async def test_to_cancel_asks_the_whole_group_first(runner: ScriptRunner, tmp_path: Path) -> None:
    """SIGTERM reaches the script, and its last words are heard."""
    begun = tmp_path / "begun"
    write(tmp_path / "a.sh", f"trap 'echo bye; exit' TERM; echo > {begun}; sleep 60 & wait")
    with trio.fail_after(1.5):
        log = await cancelled(runner, "a.sh", begun)
    assert log.text() == "bye\n"
    assert not children()


async def test_who_does_not_listen_is_killed_with_all_its_children(
    runner: ScriptRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Grandchildren that ignore SIGTERM are gone when the cancellation comes through."""
    monkeypatch.setattr("trioworker.runners.processes.TERM_GRACE_S", 0.1)
    begun = tmp_path / "begun"
    write(
        tmp_path / "a.sh",
        f"""
        trap '' TERM
        (sleep 60; true) &
        (bash -c 'trap "" TERM; echo $$ > {tmp_path}/pid; sleep 60; true') &
        while [ ! -s {tmp_path}/pid ]; do sleep 0.01; done
        echo > {begun}
        sleep 60; true
        """,
    )
    await cancelled(runner, "a.sh", begun)
    assert not children()
    await until(lambda: not _runs(int((tmp_path / "pid").read_text())))


async def test_what_a_finished_script_leaves_running_is_ended(
    runner: ScriptRunner, tmp_path: Path
) -> None:
    """A background child holds neither the job nor the machine, although it holds the output."""
    write(tmp_path / "a.sh", f"sleep 60 & echo $! > {tmp_path}/pid; echo 5 > $TRIOWORKER_RESULT")
    with trio.fail_after(2):
        assert result(await run(runner, script_job("a.sh"))) == "5"
    pid = int((tmp_path / "pid").read_text())
    await until(lambda: not _runs(pid))


async def test_who_escapes_its_group_does_not_hold_the_job(
    runner: ScriptRunner, tmp_path: Path
) -> None:
    """A daemon of its own session keeps the pipe open; the job ends all the same."""
    write(tmp_path / "a.sh", f"setsid sleep 60 & echo $! > {tmp_path}/pid; echo said")
    with trio.fail_after(3):
        _, log = await logged(runner, script_job("a.sh"))
    psutil.Process(int((tmp_path / "pid").read_text())).kill()
    assert log == "said\n"


async def test_only_so_many_run_at_once(tmp_path: Path) -> None:
    """The limit holds for processes; the others wait."""
    write(tmp_path / "a.sh", f"echo x >> {tmp_path}/now; sleep 0.05; wc -l < {tmp_path}/now")
    runner = OneShotRunner(Scripts(tmp_path), at_once=1)
    async with runner.open():
        logs = {(await logged(runner, script_job("a.sh")))[1].strip() for _ in range(2)}
        await run_all(runner, [script_job("a.sh") for _ in range(3)])
    assert logs == {"1", "2"}


@pytest.mark.parametrize(
    ("name", "failure"),
    [
        ("missing.sh", "ScriptNotFound: there is no script 'missing.sh' in the scripts folder"),
        ("../a.sh", "ScriptOutside: script '../a.sh' is outside the scripts folder"),
        ("/etc/a.sh", "ScriptOutside: script '/etc/a.sh' is outside the scripts folder"),
        ("b/../../a.sh", "ScriptOutside: script 'b/../../a.sh' is outside the scripts folder"),
        ("a.exe", "UnknownLanguage: the suffix of 'a.exe' names no language"),
        (f"{'x' * 300}.sh", f"ScriptNotFound: there is no script '{'x' * 200}…' in the scripts"),
    ],
)
async def test_a_script_that_cannot_be_named_fails_in_clear_words(
    runner: ScriptRunner, name: str, failure: str
) -> None:
    """No path leads out of the folder, and each refusal says why."""
    told = error(await run(runner, script_job(name)))
    assert f"{told.name}: {told.message}".startswith(failure)


async def test_a_link_inside_the_folder_is_followed(runner: ScriptRunner, tmp_path: Path) -> None:
    """Links belong to whoever owns the folder: that is how many deploy."""
    folder = tmp_path / "releases"
    folder.mkdir()
    write(folder / "a.sh", "echo linked")
    (tmp_path / "current").symlink_to(folder)
    _, log = await logged(runner, script_job("current/a.sh"))
    assert log == "linked\n"


async def test_options_or_tag_make_a_script_dedicated(runner: ScriptRunner, tmp_path: Path) -> None:
    """The same script runs whole for a one-shot job and as main for a dedicated one."""
    write(tmp_path / "a.py", "def main(): return 'dedicated'")
    assert result(await run(runner, dedicated_job("a.py"))) == '"dedicated"'
    tagged = a_job("a.py", kind="script", tag="dedicated:a.py")
    assert result(await run(runner, tagged)) == '"dedicated"'
    assert result(await run(runner, script_job("a.py"))) == "null"


def _runs(pid: int) -> bool:
    """Whether a process runs that is not ours to reap."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
