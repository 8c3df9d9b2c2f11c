"""Readers that leave and users who press Ctrl-C: the program ends, and shows no traceback."""

import signal
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

import psycopg
import pytest
import trio

from tests.cli.commands import COMMAND, ROOT, Run, environment
from tests.worker.harness import until
from trioworker.cli.start import main as start

SLOW_IMPORT = "import time\nprint('importing', flush=True)\ntime.sleep(600)\n"
"""In the place of a library that the program needs, so that its imports take long."""
LISTENS = (
    "select from pg_stat_activity"
    " where application_name = 'trioworker listen' and datname = current_database()"
)


def in_bash(line: str, url: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run a line of shell; in it $TRIOWORKER is the program."""
    return subprocess.run(
        ["bash", "-c", line],
        env=environment(url, {"TRIOWORKER": " ".join(COMMAND)}),
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("reader", ["head -n 1", "true"])
def test_a_reader_that_leaves_is_no_error_to_tell(
    here: Run, database_url: str, reader: str
) -> None:
    """`trioworker jobs list | head -1` prints that line and nothing on stderr."""
    here("enqueue", "greet", "--count", "2000").well()
    ended = in_bash(
        f"$TRIOWORKER jobs list --limit 2000 | {reader}; echo ${{PIPESTATUS[0]}}", database_url
    )
    *head, status = ended.stdout.splitlines()
    assert ended.stderr == ""
    assert status == "1"
    assert [line.split()[:2] for line in head] == [["id", "state"]] * (reader != "true")


def test_what_an_app_prints_to_nobody_is_no_error_to_tell(
    database_url: str, tmp_path: Path
) -> None:
    """Text that is held back until the end meets the closed pipe in silence, too."""
    (tmp_path / "noisy.py").write_text(
        "from trioworker import App\n\nprint('hello')\napp = App()\n"
    )
    ended = in_bash(
        "$TRIOWORKER run noisy:app --drain --log-level error | true; echo ${PIPESTATUS[0]}",
        database_url,
        tmp_path,
    )
    assert (ended.stdout, ended.stderr) == ("1\n", "")


@pytest.mark.parametrize("closed", [">/dev/full", ">&-"])
def test_output_that_nobody_takes_is_one_line_at_most(database_url: str, closed: str) -> None:
    """A full disk is told in a line with status 1; a closed stdout is what its user wants."""
    ended = in_bash(f"$TRIOWORKER jobs list {closed}", database_url)
    if closed == ">&-":
        assert (ended.returncode, ended.stderr) == (0, "")
    else:
        assert ended.returncode == 1
        assert ended.stderr.count("\n") == 1
        assert ended.stderr.startswith("trioworker: ")
        assert "No space left on device" in ended.stderr


@pytest.mark.parametrize("command", [["enqueue", "greet", "--wait"], ["jobs", "wait", "ID"]])
def test_ctrl_c_ends_a_wait(here: Run, database_url: str, command: Sequence[str]) -> None:
    """It ends with 130 and without a word; the job that was waited for stays as it is."""
    job = here("enqueue", "greet").well().output.strip()
    with (
        psycopg.connect(database_url, autocommit=True) as watcher,
        subprocess.Popen(
            [*COMMAND, *(job if word == "ID" else word for word in command)],
            env=environment(database_url, {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        try:
            trio.run(until, lambda: watcher.execute(LISTENS).fetchall())
            process.send_signal(signal.SIGINT)
            printed, complaints = process.communicate()
        finally:
            process.kill()
    assert (process.returncode, printed, complaints) == (130, "", "")
    with psycopg.connect(database_url) as connection:
        left = connection.execute("select id from trioworker.ready").fetchall()
    assert len(left) == (1 if "ID" in command else 2)


@pytest.mark.parametrize(
    "command",
    [COMMAND, (sys.executable, "-c", "from trioworker.cli.start import main; main()")],
    ids=["module", "script"],
)
def test_ctrl_c_at_the_very_start_is_quiet(command: Sequence[str], tmp_path: Path) -> None:
    """While the program is still importing, too: 130 and not a word."""
    (tmp_path / "trio.py").write_text(SLOW_IMPORT)
    with subprocess.Popen(
        [*command, "run", "--help"],
        env=environment(None, {"PYTHONPATH": str(tmp_path)}),
        cwd=ROOT / "src",
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "importing\n"
        process.send_signal(signal.SIGINT)
        printed, complaints = process.communicate()
    assert (process.returncode, printed, complaints) == (130, "", "")


def test_the_program_that_is_installed_begins_at_its_start() -> None:
    """What pip puts on the PATH is ready for Ctrl-C as early as `python -m trioworker` is."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["scripts"] == {"trioworker": f"{start.__module__}:{start.__name__}"}
