"""What a job tells of its progress, shown to who waits for it."""

import os
import pty
import subprocess
import termios
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from tests.cli.commands import COMMAND, ROOT, Run, Worker, environment
from trioworker import App, JobContext, Snooze
from trioworker.cli.told import showing_progress
from trioworker.testing import MemoryQueue

app = App()


@app.job
def climb(context: JobContext, fraction: float, note: str) -> None:
    """Tell that, and come again later."""
    context.progress(fraction, note)
    raise Snooze(60)


@pytest.mark.parametrize("lines", [True, False])
async def test_elsewhere_than_on_a_terminal_it_is_lines(
    capsys: pytest.CaptureFixture[str],
    autojump_clock: MockClock,
    *,
    lines: bool,
) -> None:
    """One now and then, when there is news, and none where they are not wanted."""
    assert autojump_clock.autojump_threshold == 0
    queue = MemoryQueue(app)
    silent = await queue.enqueue("climb", [0, ""])
    job = await queue.enqueue("climb", {"fraction": 0.255, "note": "one\nof four"})
    await queue.run_attempt(job)
    for shown in (silent, job):
        async with showing_progress(queue, shown, lines=lines):
            await trio.sleep(60)
    assert capsys.readouterr().err == ("26 %: one\\nof four\n" if lines else "")


@pytest.mark.parametrize("command", [["wait"], ["logs", "-f"]], ids=" ".join)
def test_on_a_terminal_it_is_a_bar(
    here: Run, database_url: str, tmp_path: Path, command: list[str]
) -> None:
    """It is there while the job runs; what is printed meanwhile is printed."""
    file = tmp_path / "file"
    job = here("enqueue", "climb", f'["{file}"]').well().output.strip()
    ours, its = pty.openpty()
    termios.tcsetwinsize(its, (24, 80))
    with (
        Worker("--log-flush-s", "0.05", url=database_url),
        subprocess.Popen(
            [*COMMAND, "jobs", *command, job],
            env=environment(database_url, {"TERM": "xterm"}),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=its,
            stderr=its,
        ) as process,
    ):
        os.close(its)
        shown = b""
        while b"40 %" not in shown:
            shown += os.read(ours, 65_536)
        file.touch()
        while more := _read(ours):
            shown += more
    os.close(ours)
    assert process.returncode == 0, shown
    assert ("━" in shown.decode(), "[bold]four of ten" in shown.decode()) == (True, True)
    assert (b"looking out" if "logs" in command else b'"there"') in shown


def test_it_is_among_what_is_known_of_a_job(here: Run, database_url: str, tmp_path: Path) -> None:
    """In words for people, in full for programs; in the list of jobs while it runs."""
    file = tmp_path / "file"
    job = here("enqueue", "climb", f'["{file}"]').well().output.strip()
    with Worker("--log-flush-s", "0.05", url=database_url):
        while here("jobs", "show", job, "--json").document["progress"] is None:
            pass
        (listed,) = here("jobs", "list").well().output.splitlines()[1:]
        assert listed.endswith("40 %: [bold]four of ten")
        file.touch()
        here("jobs", "wait", job).well()
    (told,) = [line for line in here("jobs", "show", job).output.splitlines() if "progress" in line]
    assert told.startswith("progress      90 %: down again, 20")
    (listed,) = here("jobs", "list", "--json").document
    assert listed["progress"]["fraction"] == 0.9
    assert listed["progress"]["note"] == "down again"


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:  # what Linux says when the last writer is gone
        return b""
