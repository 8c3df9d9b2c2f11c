"""A drain on a terminal, as a person sees it: a bar among lines, or whole lines for programs."""

import json
import os
import pty
import subprocess
import termios
from collections.abc import Sequence
from typing import Final

from tests.cli.commands import APP, COMMAND, ROOT, Run, environment

BAR: Final = "━"
JOBS: Final = 20


def drained_on_a_terminal(url: str, *flags: str) -> Sequence[str]:
    """The lines that a drain writes to a terminal of 80 columns."""
    ours, its = pty.openpty()
    termios.tcsetwinsize(its, (24, 80))
    with subprocess.Popen(
        [*COMMAND, "run", APP, "--drain", "--log-statements", *flags],
        env=environment(url, {"TERM": "xterm"}),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=its,
    ) as process:
        os.close(its)
        shown = b"".join(iter(lambda: _read(ours), b""))
    os.close(ours)
    assert process.returncode == 0, shown
    return shown.decode().splitlines()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:  # what Linux says when the last writer is gone
        return b""


def test_json_lines_on_a_terminal_stay_whole(here: Run, database_url: str) -> None:
    """Each is one object, however long, and there is no bar between them."""
    here("enqueue", "greet", '{"name": "you"}', "--count", str(JOBS)).well()
    lines = drained_on_a_terminal(database_url, "--log-format", "json")
    events = [json.loads(line)["event"] for line in lines]
    assert {"worker started", "statement", "progress", "worker stopped"} <= set(events)
    assert max(map(len, lines)) > 80


def test_lines_for_people_have_a_bar(here: Run, database_url: str) -> None:
    """As ever: the bar is there when the log is no JSON."""
    here("enqueue", "greet", '{"name": "you"}', "--count", str(JOBS)).well()
    lines = drained_on_a_terminal(database_url)
    assert any(BAR in line and f"{JOBS} of {JOBS} jobs" in line for line in lines)
