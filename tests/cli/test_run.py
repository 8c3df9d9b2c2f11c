"""`trioworker run` as a process: what it does, what it logs, and how it ends."""

import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import termios
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

import psycopg
import pytest
import trio

from tests.cli.commands import (
    APP,
    COMMAND,
    PATIENCE_S,
    ROOT,
    Run,
    Worker,
    environment,
    run,
    run_here,
)
from tests.database_fixtures import private_server
from tests.worker.harness import until

BATCHES = ("--mode", "agent-batch", "--start-within-s", "3600")

blocking = trio.to_thread.run_sync


def states(here: Run) -> Mapping[str, int]:
    """How many jobs are in which state."""
    return Counter(job["state"] for job in here("jobs", "list", "--limit", "99", "--json").document)


def until_there(here: Run, file: Path, *flags: str) -> str:
    """Enqueue a job that runs until `file` is there; returns its id."""
    arguments = json.dumps({"file": str(file)})
    return here("enqueue", "until_there", arguments, *flags).well().output.strip()


@pytest.mark.parametrize("mode", ["standalone", "worker", "agent-batch"])
def test_drain_empties_the_queue(here: Run, database_url: str, mode: str) -> None:
    """In every mode all jobs end and it exits with 0; only agent-batch runs statements for many.

    What is not a terminal gets one JSON object a line, the last one with the figures.
    """
    here("enqueue", "greet", '["you"]', "--count", "15").well()
    here("enqueue", "divide", "[1, 0]", "--count", "2").well()

    ended = run("run", APP, "--drain", "--mode", mode, "--log-statements", url=database_url).well()

    log = [json.loads(line) for line in ended.complaints.splitlines()]
    jobs_a_statement = max(line["jobs"] for line in log if line["event"] == "statement")
    assert (jobs_a_statement > 1) == (mode == "agent-batch")
    assert ended.output == ""
    assert states(here) == {"success": 15, "failure": 2}
    last = log[-1]
    assert (last["event"], last["jobs"], last["failed"]) == ("progress", 17, 2)
    assert (last["batches"] < 17) == (mode == "agent-batch")


def test_a_drain_tells_what_it_does_not_wait_for(here: Run) -> None:
    """A delay, the pause before another attempt, a window that has to pass."""
    again = {"path": "divide", "args": [1, 0], "retry": {"attempts": 2, "delay_s": 3600}}
    limit = {"path": "greet", "args": ["you"], "limit": {"slots": 1, "window_s": 3600}}
    later = {"path": "greet", "args": ["me"], "delay_s": 3600}
    other = {"path": "greet", "args": ["us"], "delay_s": 3600, "tag": "other"}
    jobs = [again, limit, limit, later, other, {"path": "greet", "args": ["him"]}]
    here("enqueue", "-", stdin="\n".join(map(json.dumps, jobs))).well()

    ended = here("run", APP, "--drain", "--log-format", "json").well()

    log = [json.loads(line) for line in ended.complaints.splitlines()]
    (left,) = [line for line in log if line["event"] == "jobs left"]
    assert (left["later"], left["waiting"], left["running"]) == (2, 1, 0)
    assert states(here) == {"success": 2, "scheduled": 3, "waiting": 1}
    nothing = here("run", "--drain", "--tags", "empty", "--log-format", "json").well()
    assert "jobs left" not in nothing.complaints


def test_a_terminal_gets_a_bar(here: Run, database_url: str) -> None:
    """On a terminal a drain shows one line that grows, at most as wide as the terminal is."""
    here("enqueue", "greet", '["you"]', "--count", "30").well()

    shown = on_terminal("run", APP, "--drain", "--log-level", "warning", url=database_url)

    assert "30 of 30 jobs" in shown
    assert "0 failed 30 batches of 1.0 0 fallbacks" in shown
    assert states(here) == {"success": 30}


def test_the_log_is_as_asked(here: Run) -> None:
    """--log-format says for whom the lines are, wherever they go."""
    words = here("run", "--drain", "--log-format", "console").well().complaints.splitlines()
    events = ("server listening", "worker started", "progress")
    assert [e in line for e, line in zip(events, (*words[:2], words[-1]), strict=True)] == [
        True
    ] * 3
    assert [line for line in words if line.startswith("{")] == []
    lines = here("run", "--drain", "--log-format", "json").well().complaints.splitlines()
    assert [json.loads(line)["event"] for line in lines][-1] == "progress"


def test_a_table_on_a_terminal_keeps_ids_whole(here: Run, database_url: str) -> None:
    """Each job is a line with an id to copy; what came of it is cut, and nothing else."""
    job = here("enqueue", "greet", json.dumps({"name": "x" * 90})).well().output.strip()
    here("run", APP, "--drain").well()

    head, row = on_terminal("jobs", "list", url=database_url).splitlines()

    assert head.startswith("\x1b[1mid ")
    assert row.startswith(f"{job}  success  greet  default  1  ")
    assert row.endswith("x…")


def test_sigterm_lets_running_jobs_finish(here: Run, database_url: str, tmp_path: Path) -> None:
    """It gives back at once what has not started, waits for what runs, and exits with 0."""
    file = tmp_path / "go"
    # After a quick job the worker expects the others to be quick, too, and claims them all.
    quick = here("enqueue", "greet", '["you"]').well().output.strip()
    running = until_there(here, file)
    given_back = until_there(here, file)
    with (
        psycopg.connect(database_url, autocommit=True) as watcher,
        Worker(*BATCHES, "--concurrency", "1", url=database_url) as worker,
    ):
        assert [worker.said("job started")["job"] for _ in range(2)] == [quick, running]
        worker.ask_to_stop()
        assert worker.said("worker stopping")["buffered"] == 1
        trio.run(until, lambda: watcher.execute("select from trioworker.ready").fetchall())
        file.touch()
        status, _ = worker.ended()

    assert status == 0
    found = {job["id"]: job["state"] for job in here("jobs", "list", "--json").document}
    assert found == {quick: "success", running: "success", given_back: "ready"}
    assert [worker["claimed"] for worker in here("workers", "--json").document] == [0]


def test_a_second_signal_stops_at_once(here: Run, database_url: str, tmp_path: Path) -> None:
    """A second Ctrl-C exits with 130 while a job runs, and the job is another worker's at once."""
    file = tmp_path / "go"
    job = until_there(here, file)
    with Worker("--grace-s", "3600", url=database_url) as worker:
        worker.said("job started")
        worker.ask_to_stop(signal.SIGINT)
        worker.said("worker stopping")
        worker.ask_to_stop(signal.SIGINT)
        status, _ = worker.ended()

    assert status == 130
    file.touch()
    here("run", APP, "--drain").well()
    shown = here("jobs", "show", job, "--json").document
    assert (shown["state"], shown["result"]) == ("success", "there")


async def test_results_that_cannot_be_stored_are_listed(tmp_path: Path) -> None:
    """With the database away a stop ends with 3 and the ids, and those jobs run again later.

    One worker is past its deadline, another is asked twice.
    """
    file = tmp_path / "go"
    async with private_server() as server:
        here = partial(run_here, url=server.url)
        (await blocking(here, "migrate")).well()
        late = await blocking(until_there, here, file, "--tag", "late")
        forced = await blocking(until_there, here, file, "--tag", "forced")
        with (
            Worker(
                *("--tags", "late", "--grace-s", "0", "--flush-s", "0.2"), url=server.url
            ) as late_worker,
            Worker("--tags", "forced", url=server.url) as forced_worker,
        ):
            workers = (late_worker, forced_worker)
            for worker in workers:
                await blocking(worker.said, "job started")
            await server.stop()
            file.touch()
            for worker in workers:
                await blocking(worker.said, "commit failed")
                worker.ask_to_stop()
            await blocking(forced_worker.said, "worker stopping")
            forced_worker.ask_to_stop()
            ends = [await blocking(worker.ended) for worker in workers]
        for job, (status, said) in zip((late, forced), ends, strict=True):
            assert status == 3
            assert said.endswith(
                f"trioworker: 1 result could not be stored; these jobs will be run again:\n{job}\n"
            )
        await server.start()
        with psycopg.connect(server.url) as connection:
            # What comes of two silent workers when their leases are over, half a minute later.
            connection.execute("update trioworker.worker set lost_at = now()")
        again = partial(run, "run", APP, "--drain", "--tags", "late,forced", url=server.url)
        (await blocking(again)).well()
        assert await blocking(states, here) == {"success": 2}


def on_terminal(*arguments: str, url: str) -> str:
    """What a terminal of 80 columns is sent until the command has ended, which must be well."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    with subprocess.Popen(
        [*COMMAND, *arguments],
        env=environment(url, {"TERM": "xterm"}),
        cwd=ROOT,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        sent = b"".join(_read(ours))
        assert process.wait(PATIENCE_S) == 0, sent
    os.close(ours)
    return sent.decode()


def _read(terminal: int) -> Iterator[bytes]:
    with suppress(OSError):  # how a terminal says that nobody holds its other end
        while chunk := os.read(terminal, 65_536):
            yield chunk
