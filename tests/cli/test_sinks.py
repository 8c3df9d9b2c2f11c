"""The log: what is a line, at which level, and in which form."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import pytest
import trio

from trioworker import events
from trioworker.cli.sinks import IDS_SHOWN_MAX, LEVELS, Log, log_sink, statement_sink
from trioworker.client import open_client
from trioworker.events import (
    BatchPulled,
    BatchStored,
    CommitFailed,
    Event,
    JobStarted,
    LeaseTaken,
    StatementRun,
    WorkerStarted,
    WorkerStopped,
)
from trioworker.ids import new_id
from trioworker.model.job import NewJob
from trioworker.settings import LogFormat, LogLevel

WORKER: Final = UUID(int=1)
JOB: Final = UUID(int=2)
STARTED: Final = WorkerStarted(worker=WORKER, mode="worker", tags=("mail", "bulk"))
FAILED: Final = CommitFailed(
    worker=WORKER,
    jobs=[JOB, JOB, JOB],
    size=3,
    tries=1,
    failure="refused",
    step="divide",
    message="no \x00 here",
)
STATEMENT: Final = StatementRun(name="pull", lane="pull", jobs=100, rows=42)

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Lines:
    """What was logged since the last look, as JSON."""
    return lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]


@contextmanager
def terminal() -> Iterator[int]:
    """A terminal in the place of stderr; yields the end at which its user sits."""
    user, ours = os.openpty()
    with os.fdopen(ours, "w", buffering=1) as stderr, redirect_stderr(stderr):
        yield user
    os.close(user)


def stored(*lost: UUID) -> BatchStored:
    """A commit that dropped some outcomes."""
    jobs = [UUID(int=number) for number in range(5)]
    return BatchStored(
        worker=WORKER, jobs=[*jobs, *lost], stored=5, failed=1, lost=lost, seconds=0.123456
    )


def pulled(jobs: int) -> BatchPulled:
    """A pull of so many jobs."""
    ids = [UUID(int=number) for number in range(jobs)]
    return BatchPulled(worker=WORKER, claim=JOB, asked=100, jobs=ids, seconds=0.5)


def test_every_event_has_its_level() -> None:
    """No event is forgotten; that of the statement log alone is not in this one."""
    kinds = {kind for kind in vars(events).values() if isinstance(kind, type) and kind is not Event}

    assert {*LEVELS} == {kind for kind in kinds if issubclass(kind, Event)} - {StatementRun}


def test_a_line_for_programs_is_one_json_object(lines: Lines) -> None:
    """The event in words, its level, its fields, and a time with its zone."""
    sink = log_sink(Log(LogLevel.INFO, LogFormat.JSON))
    sink(STARTED)
    sink(FAILED)

    started, failed = lines()
    assert datetime.fromisoformat(started.pop("timestamp")).utcoffset() == timedelta(0)
    assert started == {
        "event": "worker started",
        "level": "info",
        "worker": str(WORKER),
        "mode": "worker",
        "tags": ["mail", "bulk"],
    }
    assert (failed["event"], failed["level"]) == ("commit failed", "warning")
    assert (failed["size"], failed["message"]) == (3, "no \x00 here")


def test_a_line_for_people_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a terminal it has no colours, which a file could not show."""
    log_sink(Log(LogLevel.INFO, LogFormat.CONSOLE))(STARTED)

    line = capsys.readouterr().err
    assert "[info     ] worker started" in line
    assert f"mode=worker tags=['mail', 'bulk'] worker={WORKER}\n" in line
    assert "\x1b" not in line


def test_auto_is_for_programs_where_there_is_no_terminal(lines: Lines) -> None:
    """Who redirects the log gets what a program can read."""
    log_sink(Log(LogLevel.INFO, LogFormat.AUTO))(STARTED)

    assert lines()[0]["event"] == "worker started"


def test_auto_is_for_people_on_a_terminal() -> None:
    """Who looks at the log gets what a person can read, in colours."""
    with terminal() as user:
        log_sink(Log(LogLevel.INFO, LogFormat.AUTO))(STARTED)
        line = os.read(user, 10_000).decode()

    assert "\x1b[1mworker started" in line


def test_json_is_json_on_a_terminal_too() -> None:
    """A form that was asked for is the one that comes."""
    with terminal() as user:
        log_sink(Log(LogLevel.INFO, LogFormat.JSON))(STARTED)
        line = os.read(user, 10_000)

    assert json.loads(line)["event"] == "worker started"


@pytest.mark.parametrize(
    ("least", "shown"),
    [
        (LogLevel.DEBUG, ["job started", "worker stopped", "commit failed", "lease taken"]),
        (LogLevel.INFO, ["worker stopped", "commit failed", "lease taken"]),
        (LogLevel.WARNING, ["commit failed", "lease taken"]),
        (LogLevel.ERROR, ["lease taken"]),
    ],
)
def test_only_what_is_worth_a_line_is_one(lines: Lines, least: LogLevel, shown: list[str]) -> None:
    """A level lets through itself and what is worse."""
    sink = log_sink(Log(least, LogFormat.JSON))
    for event in (
        JobStarted(worker=WORKER, job=JOB, attempt=1),
        WorkerStopped(worker=WORKER, unsaved=()),
        FAILED,
        LeaseTaken(worker=WORKER, dropped=3),
    ):
        sink(event)

    assert [line["event"] for line in lines()] == shown


def test_a_commit_that_lost_outcomes_is_a_warning(lines: Lines) -> None:
    """Commits are details, but what another worker does again is not, and is named by its id."""
    sink = log_sink(Log(LogLevel.WARNING, LogFormat.JSON))
    sink(stored())
    sink(stored(JOB))

    (line,) = lines()
    assert (line["event"], line["level"]) == ("batch stored", "warning")
    assert (line["lost"], line["seconds"]) == ([str(JOB)], 0.1235)


def test_a_loss_is_no_error(lines: Lines) -> None:
    """The fence did what it is for: who asked for errors only is not told."""
    log_sink(Log(LogLevel.ERROR, LogFormat.JSON))(stored(JOB))

    assert lines() == []


def test_a_long_list_of_ids_becomes_its_number(lines: Lines) -> None:
    """A batch of hundreds does not fill the screen; a few are named, for `jobs show`."""
    sink = log_sink(Log(LogLevel.DEBUG, LogFormat.JSON))
    sink(pulled(IDS_SHOWN_MAX))
    sink(pulled(IDS_SHOWN_MAX + 1))

    few, many = lines()
    assert few["jobs"] == [str(UUID(int=number)) for number in range(IDS_SHOWN_MAX)]
    assert many["jobs"] == IDS_SHOWN_MAX + 1


def test_statements_have_a_log_of_their_own(lines: Lines) -> None:
    """The statement sink logs statements only, and the other one everything else."""
    log = Log(LogLevel.INFO, LogFormat.JSON)
    for sink in (log_sink(log), statement_sink(log)):
        sink(STATEMENT)
    statement_sink(log)(STARTED)

    (line,) = lines()
    del line["timestamp"]
    assert line == {
        "event": "statement",
        "level": "info",
        "name": "pull",
        "lane": "pull",
        "jobs": 100,
        "rows": 42,
    }


def test_a_log_that_nobody_reads_stops_no_worker(database_url: str, tmp_path: Path) -> None:
    """When the reader of its log is gone, a worker does its jobs as before."""
    trio.run(enqueue, database_url, 3)
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = run_worker(database_url, tmp_path, writer)
    finally:
        os.close(writer)

    assert done.returncode == 0
    assert trio.run(states, database_url) == ["success"] * 3


def test_a_worker_logs_json_line_by_line(database_url: str, tmp_path: Path) -> None:
    """Events, statements and progress come as one stream of objects with the same first fields."""
    trio.run(enqueue, database_url, 3)
    done = run_worker(database_url, tmp_path, subprocess.PIPE)

    found = [json.loads(line) for line in done.stderr.splitlines()]
    assert all({"event", "level", "timestamp"} <= {*line} for line in found)
    names = [line["event"] for line in found]
    assert {"worker started", "batch pulled", "job ended", "statement", "progress"} <= {*names}
    assert found[-1] | {"timestamp": ""} == {
        "event": "progress",
        "level": "info",
        "jobs": 3,
        "jobs_per_s": found[-1]["jobs_per_s"],
        "failed": 0,
        "batches": 3,
        "mean_batch": 1.0,
        "fallbacks": 0,
        "timestamp": "",
    }


def run_worker(url: str, folder: Path, stderr: int) -> subprocess.CompletedProcess[str]:
    """A worker that drains the queue and logs all there is to `stderr`."""
    return subprocess.run(
        [
            *(sys.executable, "-m", "trioworker", "run", "--drain"),
            *("--log-level", "debug", "--log-statements"),
        ],
        env={"DATABASE_URL": url},
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        text=True,
        timeout=60,
        check=False,
    )


async def enqueue(url: str, jobs: int) -> None:
    """Put jobs that do nothing in the queue."""
    async with open_client(url) as client:
        await client.enqueue_many(
            NewJob(id=new_id(), kind="noop", path="nothing", args=b"{}") for _ in range(jobs)
        )


async def states(url: str) -> list[str]:
    """The states of all jobs."""
    async with open_client(url) as client:
        return [job.state for job in await client.jobs()]
