"""`trioworker server`, and requests beside a worker: what listens where, and how it ends."""

import json
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import psycopg
import pytest

from tests.cli.commands import APP, COMMAND, PATIENCE_S, ROOT, Ended, Run, environment, run
from tests.server.serving import taken_port
from trioworker.settings.table import LISTEN

ANYWHERE: Final = ("--listen", "127.0.0.1:0")


class Process:
    """A command that serves, and the lines of its log."""

    def __init__(self, *arguments: str, url: str, cwd: Path = ROOT, **variables: str) -> None:
        self._process = subprocess.Popen(
            [*COMMAND, *arguments],
            env=environment(url, variables),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.log: list[Mapping[str, Any]] = []

    def said(self, event: str) -> Mapping[str, Any]:
        """The next line of its log about `event`."""
        assert self._process.stderr
        while line := self._process.stderr.readline():
            self.log.append(json.loads(line))
            if self.log[-1]["event"] == event:
                return self.log[-1]
        return pytest.fail(f"it ended without {event!r}: {self.log}")

    def ended(self, by: signal.Signals) -> Ended:
        """How it ends when it is asked to."""
        self._process.send_signal(by)
        said = self._process.communicate(timeout=PATIENCE_S)[1]
        return Ended(self._process.returncode, "", said)

    def kill(self) -> None:
        """Leave nothing behind."""
        self._process.kill()
        self._process.__exit__(None, None, None)


@contextmanager
def process(*arguments: str, url: str, cwd: Path = ROOT, **variables: str) -> Iterator[Process]:
    """The command, for as long as the context lasts."""
    started = Process(*arguments, url=url, cwd=cwd, **variables)
    try:
        yield started
    finally:
        started.kill()


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
def test_a_server_takes_requests_and_runs_no_jobs(database_url: str, by: signal.Signals) -> None:
    """It says where it listens, stores jobs, runs none, and ends in order."""
    with process("server", APP, *ANYWHERE, url=database_url) as server:
        address = server.said("server listening")["address"]
        job = httpx.post(f"{address}/api/jobs", json={"path": "greet", "args": ["you"]}).json()
        unknown = httpx.post(f"{address}/api/jobs", json={"path": "nobody"})
        state = httpx.get(f"{address}/api/jobs/{job['id']}/result?wait_s=0.2")
        workers = httpx.get(f"{address}/api/workers").json()
        ended = server.ended(by)

    assert (job["new"], unknown.status_code) == (True, 400)
    assert (state.status_code, state.json()["state"]) == (202, "ready")
    assert workers == {"workers": []}
    assert ended.status == 0, ended.complaints


@pytest.mark.parametrize("mode", ["standalone", "worker", "agent-batch"])
def test_a_worker_takes_requests_beside_its_jobs(database_url: str, mode: str) -> None:
    """A job that was enqueued over HTTP is run by the very process that took it."""
    with process("run", APP, "--mode", mode, *ANYWHERE, url=database_url) as worker:
        address = worker.said("server listening")["address"]
        job = httpx.post(f"{address}/api/jobs", json={"path": "greet", "args": ["you"]}).json()
        result = httpx.get(f"{address}/api/jobs/{job['id']}/result?wait_s=30", timeout=60).json()
        figures = httpx.get(f"{address}/metrics").text
        ended = worker.ended(signal.SIGTERM)

    assert result["state"] == "success"
    assert 'trioworker_job_attempts_total{outcome="succeeded"} 1.0' in figures
    assert "trioworker_outcomes_stored_total 1.0" in figures
    assert ended.status == 0, ended.complaints


def test_a_stop_waits_for_no_client(database_url: str) -> None:
    """Who waits for a job that does not end is told so when the server stops."""
    with process("server", *ANYWHERE, url=database_url) as server:
        address = server.said("server listening")["address"]
        job = httpx.post(f"{address}/api/jobs", json={"path": "greet"}).json()["id"]
        with httpx.stream("GET", f"{address}/api/jobs/{job}/events", timeout=60) as said:
            lines = said.iter_lines()
            next(lines)
            began_s = time.monotonic()
            ended = server.ended(signal.SIGTERM)
            rest = [*lines]

    assert ended.status == 0, ended.complaints
    assert not any("event: end" in line for line in rest)
    assert time.monotonic() - began_s < PATIENCE_S


def test_two_on_one_host_do_not_stop_one_another(database_url: str) -> None:
    """The address that nobody chose may be taken: then it is another, and the log says so."""
    with (
        process("server", url=database_url) as one,
        process("server", url=database_url) as other,
    ):
        said = [one.said("server listening"), other.said("server listening")]
        answers = [httpx.get(f"{line['address']}/health").json() for line in said]

    assert answers == [{"status": "ok"}] * 2
    assert len({line["address"] for line in said}) == 2
    messages = [line["message"] for line in said if line["address"] != f"http://{LISTEN}"]
    assert messages
    for message in messages:
        assert message == (
            f"somebody else listens at {LISTEN}, so this is another port; choose one with --listen"
        )


@pytest.mark.parametrize("command", ["server", "run --mode worker"])
def test_an_address_that_was_chosen_and_is_taken_is_an_error(
    database_url: str, command: str
) -> None:
    """Whoever chose an address tells others about it."""
    with taken_port() as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = run(*command.split(), "--listen", listen, url=database_url)

    assert ended.status == 2
    assert f"cannot listen at {listen}: somebody else does" in ended.complaints
    assert "Traceback" not in ended.complaints


def test_nothing_is_open_to_others_without_a_key(database_url: str) -> None:
    """An address that others can reach takes a key, which is then asked for."""
    key = "a-key-of-some-length"
    refused = run("server", "--listen", "0.0.0.0:0", url=database_url)
    open_to_all = ("server", "--listen", "0.0.0.0:0")
    with process(*open_to_all, url=database_url, TRIOWORKER_API_KEY=key) as server:
        port = server.said("server listening")["address"].rpartition(":")[2]
        address = f"http://127.0.0.1:{port}"
        without = httpx.get(f"{address}/api/jobs")
        given = httpx.get(f"{address}/api/jobs", headers={"authorization": f"Bearer {key}"})

    assert refused.status == 2
    assert "TRIOWORKER_API_KEY" in refused.complaints.splitlines()[-1]
    assert (without.status_code, given.status_code) == (401, 200)


def test_what_a_server_cannot_do_is_said(here: Run) -> None:
    """A worker's settings, a drain, and a server that listens nowhere make no sense."""
    assert here("server", "--listen", "off").status == 2
    drained = here("run", "--mode", "server", "--drain")
    assert drained.status == 2
    assert drained.complaints.startswith("trioworker: --drain: the mode server runs no jobs")
    assert here("server", "--concurrency", "3").status == 2
    assert (
        "the mode server does not use it"
        in here("run", "--mode", "server", "--concurrency", "3").complaints
    )


def test_dead_agents_are_swept_up_after(database_url: str, here: Run) -> None:
    """A server gives the jobs of the dead back, though it has no worker."""
    here("enqueue", "greet", '["you"]').well()
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "insert into trioworker.worker (id, name, host, pid, mode, tags, ranks, lease_s,"
            " started_at, last_heartbeat)"
            " values (gen_random_uuid(), 'dead', 'there', 1, 'agent', '{default}', '{0}', 1,"
            " now() - interval '1 hour', now() - interval '1 hour')"
        )
        connection.execute(
            "with taken as (delete from trioworker.ready returning id, attempt, reaped)"
            " insert into trioworker.claim (id, worker, ids, attempts, reaped)"
            " select gen_random_uuid(), (select id from trioworker.worker), array[id],"
            " array[attempt], array[reaped] from taken"
        )
    with process("server", *ANYWHERE, "--sweep-s", "0.1", url=database_url) as server:
        line = server.said("jobs reaped")

    assert len(line["ready"]) == 1
