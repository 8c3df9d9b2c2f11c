"""`trioworker db` as its user sees it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psycopg
import pytest
import trio

from tests.store.postgres.user_process import UserProcess
from trioworker.store.postgres import embedded

DB: Final = (sys.executable, "-c", "from trioworker.cli.db import db_app; db_app()")


@pytest.fixture
def data_dir(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder that the environment names."""
    folder = Path(tempfile.mkdtemp(prefix="tw-"))
    monkeypatch.setenv("TRIOWORKER_DATA_DIR", str(folder))
    yield folder
    trio.run(embedded.stop, folder)
    shutil.rmtree(folder)


def db(*arguments: str) -> str:
    """What the command prints; it must end well."""
    process = subprocess.run([*DB, *arguments], check=False, capture_output=True, text=True)
    assert (process.returncode, process.stderr) == (0, "")
    return process.stdout


def test_start_keeps_it_until_stop(data_dir: Path) -> None:
    """After `start` it runs without users, `status` says so, and `stop` ends it."""
    assert "never started" in db("status")
    assert f"runs in {data_dir}" in db("start")
    stands = json.loads(db("status", "--json"))
    assert (stands["running"], stands["kept"], stands["users"]) == (True, True, [])
    with psycopg.connect(stands["url"]) as connection:
        assert connection.info.dbname == "trioworker"
    assert "until `trioworker db stop`" in db("status")
    assert db("stop") == f"PostgreSQL in {data_dir} stopped\n"
    assert db("stop") == f"PostgreSQL did not run in {data_dir}\n"


def test_stop_says_whom_it_cut_off(data_dir: Path) -> None:
    """Stopping a server in use names its users and how to give it back to them."""
    with UserProcess(data_dir) as user:
        user.joined()
        said = db("stop")
    assert f"while in use by 1 process (pid {user.pid}); `trioworker db start`" in said


def test_psql_starts_it_and_passes_arguments_on(data_dir: Path) -> None:
    """`db psql` needs no server running before and leaves none behind; -c and the like work."""
    assert db("psql", "-XAt", "-c", "select 6 * 7") == "42\n"
    assert not embedded.status(data_dir).running


def test_psql_hands_on_its_exit_status(data_dir: Path) -> None:
    """A script sees that its statement failed."""
    command = [*DB, "psql", f"--data-dir={data_dir}", "-c", "select 1/0"]
    process = subprocess.run(command, check=False, capture_output=True, text=True)
    assert process.returncode == 1
    assert process.stderr == "ERROR:  division by zero\n"


def test_ctrl_c_in_psql_drops_the_query_only(data_dir: Path) -> None:
    """SIGINT to the terminal's group cancels what psql waits for; the server is let go in order."""
    sleep = "do $$ begin raise notice 'asleep'; perform pg_sleep(60); end $$"
    with subprocess.Popen(
        [*DB, "psql", "-X", "-c", sleep, "-c", "select 6 * 7"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stderr
        assert "asleep" in process.stderr.readline()
        os.killpg(process.pid, signal.SIGINT)
        output, complaints = process.communicate()
    assert "canceling statement due to user request" in complaints
    assert "Traceback" not in complaints
    assert not embedded.status(data_dir).running
    assert (process.returncode, output) == (1, "")
