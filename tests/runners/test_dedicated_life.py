"""Dedicated scripts from start to end: new versions, cancellations, idleness, turns."""

from pathlib import Path

import psutil
import pytest
import trio
import trio.testing

from tests.runners.jobs import (
    Open,
    children,
    dedicated_job,
    error,
    ran,
    result,
    run,
    run_all,
    until,
    write,
)
from trioworker.model.outcome import Outcome, Succeeded

WAITS = """
    import os, pathlib, time
    def main(name):
        with open("ran", "a") as ran:
            ran.write(f"{name} {os.getpid()}\\n")
        while name.startswith("wait") and not pathlib.Path("go").exists():
            time.sleep(0.002)
        return os.getpid()
    """


async def test_a_mended_script_runs_at_once(opened: Open, tmp_path: Path) -> None:
    """A new version of the file is a new start."""
    write(tmp_path / "a.py", "x = = 1")
    async with opened() as runner:
        assert error(await run(runner, dedicated_job("a.py"))).name == "StartRefused"
        write(tmp_path / "a.py", "def main(): return 'mended'")
        assert result(await run(runner, dedicated_job("a.py"))) == '"mended"'


async def test_a_new_version_takes_new_jobs_while_the_old_one_finishes(
    opened: Open, tmp_path: Path
) -> None:
    """No job is lost or run twice by a deploy, and the old process leaves when done."""
    write(tmp_path / "a.py", WAITS)
    outcomes: list[Outcome] = []
    async with opened() as runner:
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def old_version() -> None:
                outcomes.extend(
                    await run_all(
                        runner, [dedicated_job("a.py", a) for a in ('["wait"]', '["old"]')]
                    )
                )

            await until(lambda: any("wait" in line for line in ran(tmp_path)))
            write(tmp_path / "a.py", "def main(name): return 'new'")
            assert result(await run(runner, dedicated_job("a.py", '["x"]'))) == '"new"'
            (tmp_path / "go").touch()
        old_pid = int(result(outcomes[0]))
        assert result(outcomes[1]) == str(old_pid)
        await until(lambda: not psutil.pid_exists(old_pid))
        assert result(await run(runner, dedicated_job("a.py", '["x"]'))) == '"new"'


async def test_to_cancel_the_running_job_kills_its_process_only(
    opened: Open, tmp_path: Path
) -> None:
    """Its neighbours in the window go to a new process, and begin once."""
    write(tmp_path / "a.py", WAITS)
    async with opened() as runner, trio.open_nursery() as nursery:
        scope = trio.CancelScope()

        @nursery.start_soon
        async def cancelled() -> None:
            with scope:
                await run(runner, dedicated_job("a.py", '["wait"]'))

        await until(lambda: len(ran(tmp_path)) == 1)
        outcomes: list[Outcome] = []

        @nursery.start_soon
        async def neighbours() -> None:
            jobs = [dedicated_job("a.py", f'["{name}"]') for name in ("one", "two", "three")]
            outcomes.extend(await run_all(runner, jobs))

        await trio.testing.wait_all_tasks_blocked()
        scope.cancel()
        await until(lambda: len(outcomes) == 3)
        assert scope.cancelled_caught
    names, pids = zip(*(line.split() for line in ran(tmp_path)), strict=True)
    assert names[0] == "wait"
    assert sorted(names[1:]) == ["one", "three", "two"]
    assert len(set(pids)) == 2
    assert not psutil.pid_exists(int(pids[0]))
    assert {result(outcome) for outcome in outcomes} == {pids[1]}


@pytest.mark.parametrize("path", ["a.py", "a.mjs"])
async def test_to_cancel_a_waiting_job_only_drops_it(
    opened: Open, tmp_path: Path, path: str
) -> None:
    """It never begins, although its line is with the process already; nobody else notices."""
    write(tmp_path / "a.py", WAITS)
    write(
        tmp_path / "a.mjs",
        """
        import { appendFileSync, existsSync } from "node:fs";
        export function main([name]) {
          appendFileSync("ran", `${name} ${process.pid}\\n`);
          while (name === "wait" && !existsSync("go"));
          return process.pid;
        }
        """,
    )
    outcomes: dict[str, Outcome] = {}
    scopes = {name: trio.CancelScope() for name in ("wait", "dropped", "after")}
    async with opened() as runner, trio.open_nursery() as nursery:

        async def one(name: str) -> None:
            with scopes[name]:
                outcomes[name] = await run(runner, dedicated_job(path, f'["{name}"]'))

        nursery.start_soon(one, "wait")
        await until(lambda: len(ran(tmp_path)) == 1)
        nursery.start_soon(one, "dropped")
        nursery.start_soon(one, "after")
        await trio.testing.wait_all_tasks_blocked()
        scopes["dropped"].cancel()
        await until(lambda: scopes["dropped"].cancelled_caught)
        (tmp_path / "go").touch()
    assert [line.split()[0] for line in ran(tmp_path)] == ["wait", "after"]
    assert outcomes["wait"] == outcomes["after"]
    assert isinstance(outcomes["wait"], Succeeded)


async def test_all_jobs_of_a_window_can_be_cancelled_at_once(opened: Open, tmp_path: Path) -> None:
    """As a stopping worker does: nothing is started again, nothing is left."""
    write(tmp_path / "a.py", WAITS)
    async with opened() as runner:
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                for _ in range(20):
                    nursery.start_soon(run, runner, dedicated_job("a.py", '["wait"]'))
                await until(lambda: len(ran(tmp_path)) == 1)
                scope.cancel()
        await until(lambda: not children())
    assert len(ran(tmp_path)) == 1


async def test_an_idle_process_leaves_and_comes_back(opened: Open, tmp_path: Path) -> None:
    """Unused processes cost nothing for long; atexit handlers of the script run."""
    write(
        tmp_path / "a.py",
        """
        import atexit, os, pathlib
        atexit.register(pathlib.Path("left").touch)
        def main():
            return os.getpid()
        """,
    )
    async with opened(idle_s=0.05) as runner:
        first = int(result(await run(runner, dedicated_job("a.py"))))
        await until(lambda: not psutil.pid_exists(first))
        assert (tmp_path / "left").exists()
        assert result(await run(runner, dedicated_job("a.py"))) != str(first)


async def test_scripts_beyond_the_limit_take_turns(opened: Open, tmp_path: Path) -> None:
    """The least recently used process gives way, a busy one after its window."""
    for name in ("a", "b", "c"):
        write(tmp_path / f"{name}.py", "import os\ndef main(): return os.getpid()")
    async with opened(scripts_max=2) as runner:
        a, b = [result(await run(runner, dedicated_job(f"{name}.py"))) for name in ("a", "b")]
        assert result(await run(runner, dedicated_job("a.py"))) == a
        await run(runner, dedicated_job("c.py"))
        assert not psutil.pid_exists(int(b))
        assert result(await run(runner, dedicated_job("a.py"))) == a
        jobs = [dedicated_job(f"{name}.py") for _ in range(20) for name in ("a", "b", "c")]
        with trio.fail_after(10):
            assert all(isinstance(o, Succeeded) for o in await run_all(runner, jobs))
        assert len(children()) <= 2


async def test_a_window_of_one_is_stop_and_wait(opened: Open, tmp_path: Path) -> None:
    """The baseline of the bench: the next line goes out when the last reply is in."""
    write(tmp_path / "a.py", "import select, sys\ndef main(n): return n")
    async with opened(window=1) as runner:
        jobs = [dedicated_job("a.py", f"[{n}]") for n in range(20)]
        assert [result(o) for o in await run_all(runner, jobs)] == [str(n) for n in range(20)]


async def test_closing_leaves_no_process(opened: Open, tmp_path: Path) -> None:
    """Idle processes leave by themselves; a stubborn one is killed after its grace."""
    write(tmp_path / "a.py", "def main(): return 1")
    write(
        tmp_path / "stubborn.py",
        "import atexit, time\natexit.register(time.sleep, 60)\ndef main(): return 1",
    )
    async with opened() as runner:
        for name in ("a", "stubborn"):
            await run(runner, dedicated_job(f"{name}.py"))
        assert len(children()) == 2
    assert not children()
