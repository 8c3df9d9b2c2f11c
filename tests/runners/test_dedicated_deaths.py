"""Dedicated scripts that die, hang, cannot start, or are cancelled."""

from pathlib import Path
from random import Random

import pytest

from tests.runners.jobs import (
    Open,
    dedicated_job,
    error,
    logged,
    ran,
    result,
    run,
    run_all,
    write,
)
from trioworker.model.outcome import Failed
from trioworker.runners.dedicated import DedicatedRunner
from trioworker.runners.scripts import Scripts

DIES = {
    "dies.py": """
        import os, pathlib
        def main(number, how=""):
            with open("ran", "a") as ran:
                ran.write(f"{number}\\n")
            if how == "exit":
                print("about to leave")
                os._exit(3)
            if how == "kill":
                os.kill(os.getpid(), 9)
            if how == "hang up":
                os.closerange(3, 1000)
                import time; time.sleep(60)
            return number
        """,
    "dies.mjs": """
        import { appendFileSync } from "node:fs";
        export function main({ number, how }) {
          appendFileSync("ran", `${number}\\n`);
          if (how === "exit") {
            console.log("about to leave");
            process.exit(3);
          }
          if (how === "kill") process.kill(process.pid, "SIGKILL");
          return number;
        }
        """,
}


@pytest.mark.parametrize(
    ("path", "how", "end"),
    [
        ("dies.py", "exit", "exited with status 3"),
        ("dies.py", "kill", "was killed by SIGKILL"),
        ("dies.mjs", "exit", "exited with status 3"),
        ("dies.mjs", "kill", "was killed by SIGKILL"),
    ],
)
async def test_the_job_that_kills_its_process_is_charged_and_no_other(
    opened: Open, tmp_path: Path, path: str, how: str, end: str
) -> None:
    """The rest of its window goes to a new process; each job begins exactly once."""
    write(tmp_path / path, DIES[path])
    jobs = [
        dedicated_job(path, f'{{"number":{n},"how":"{how if n % 10 == 4 else ""}"}}')
        for n in range(30)
    ]
    async with opened() as runner:
        outcomes = await run_all(runner, jobs)
    failed = {n: error(o) for n, o in enumerate(outcomes) if isinstance(o, Failed)}
    assert list(failed) == [4, 14, 24]
    assert {failure.name for failure in failed.values()} == {"ProcessDied"}
    assert failed[4].message.startswith(f"the process {end} while it ran this job; ")
    assert sorted(map(int, ran(tmp_path))) == list(range(30))


async def test_the_last_words_of_a_dead_process_are_in_log_and_message(
    opened: Open, tmp_path: Path
) -> None:
    """What was printed just before the end is not lost with the process."""
    for path, text in DIES.items():
        write(tmp_path / path, text)
        async with opened() as runner:
            job = dedicated_job(path, '{"number":1,"how":"exit"}')
            outcome, log = await logged(runner, job)
        assert log == "about to leave\n"
        assert error(outcome).message.endswith("last output: about to leave")


async def test_an_error_that_nobody_catches_between_jobs_is_told(
    opened: Open, tmp_path: Path
) -> None:
    """It ends node; its report is in the message of the job it took along."""
    write(
        tmp_path / "late.mjs",
        """
        export function main() {
          Promise.reject(new Error("out of the blue"));
          return new Promise(() => setInterval(() => {}, 1000));
        }
        """,
    )
    async with opened() as runner:
        failure = error(await run(runner, dedicated_job("late.mjs")))
    assert failure.message.startswith("the process exited with status 1 while it ran this job")
    assert "out of the blue" in failure.message


async def test_a_host_that_hangs_up_is_ended(opened: Open, tmp_path: Path) -> None:
    """Without its line a process can answer nothing; the job that cut it is charged."""
    write(tmp_path / "dies.py", DIES["dies.py"])
    async with opened() as runner:
        outcomes = await run_all(
            runner,
            [dedicated_job("dies.py", a) for a in ('{"number":1,"how":"hang up"}', '{"number":2}')],
        )
    assert error(outcomes[0]).name == "ProcessDied"
    assert result(outcomes[1]) == "2"


@pytest.mark.parametrize(
    ("name", "text", "failure"),
    [
        ("missing.py", None, "ScriptNotFound: there is no script 'missing.py' in the scripts fo"),
        ("../out.py", "", "ScriptOutside: script '../out.py' is outside the scripts folder"),
        ("text.txt", "", "UnknownLanguage: the suffix of 'text.txt' names no language; known ar"),
        ("shell.sh", "", "NotDedicated: scripts like 'shell.sh' cannot be dedicated"),
        ("none.py", "x = 1", "StartRefused: Refused: none.py defines no function main; a dedic"),
        ("bad.py", "x = = 1", "StartRefused: SyntaxError: invalid syntax (bad.py, line 1)"),
        (
            "none.mjs",
            "export const x = 1;",
            "StartRefused: Refused: none.mjs exports no function",
        ),
        ("bad.mjs", "const x = = 1;", "StartRefused: SyntaxError: Unexpected token '='"),
        (
            "raises.py",
            "1 / 0",
            "StartFailed: the script raised while it was loaded: ZeroDivisionE",
        ),
        ("leaves.py", "exit(3)", "StartFailed: the script raised while it was loaded: SystemExi"),
        (
            "throws.mjs",
            "throw new Error('oh');",
            "StartFailed: the script raised while it was loaded: Error: oh",
        ),
        (
            "dies.py",
            "import os; os.write(2, b'words'); os._exit(3)",
            "StartFailed: the process exited with status 3 before it was ready; last output: words",
        ),
    ],
)
async def test_a_script_that_cannot_run_fails_its_jobs_in_clear_words(
    tmp_path: Path, name: str, text: str | None, failure: str
) -> None:
    """Each reason has a name and one line; all jobs that wait get it, and later ones too."""
    folder = tmp_path / "scripts"
    folder.mkdir()
    if text is not None:
        write(folder / name, text)
    runner = DedicatedRunner(Scripts(folder), Random(1))
    async with runner.open():
        outcomes = await run_all(runner, [dedicated_job(name) for _ in range(3)])
        outcomes.append(await run(runner, dedicated_job(name)))
    for outcome in outcomes:
        told = error(outcome)
        assert f"{told.name}: {told.message}".startswith(failure)


async def test_a_missing_interpreter_is_told(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message names the program that is not there."""
    write(tmp_path / "a.mjs", "export const main = () => 1;")
    monkeypatch.setenv("PATH", str(tmp_path))
    async with opened() as runner:
        failure = error(await run(runner, dedicated_job("a.mjs")))
        unknown = error(await run(runner, dedicated_job("a.mjs", language="cobol")))
    assert failure.name == "MissingInterpreter"
    assert failure.message == "'node', which runs 'a.mjs', is not installed on this worker"
    assert unknown.message == "no language 'cobol'; one of python, bash, node, deno, bun"


async def test_a_slow_start_has_a_limit(opened: Open, tmp_path: Path) -> None:
    """A script that never gets ready fails its jobs instead of holding them."""
    write(tmp_path / "slow.py", "import time; print('loading', flush=True); time.sleep(60)")
    async with opened(start_timeout_s=0.15) as runner:
        failure = error(await run(runner, dedicated_job("slow.py")))
    assert failure.name == "StartFailed"
    assert failure.message.startswith("it was not ready within 0.15 s; ")


async def test_a_start_that_fails_at_first_is_tried_again(opened: Open, tmp_path: Path) -> None:
    """Two failed starts cost the waiting jobs nothing but time."""
    write(
        tmp_path / "moody.py",
        """
        import os
        with open("starts", "a") as starts:
            starts.write("x")
        if os.path.getsize("starts") < 3:
            os._exit(1)
        def main():
            return os.path.getsize("starts")
        """,
    )
    async with opened() as runner:
        assert result(await run(runner, dedicated_job("moody.py"))) == "3"
