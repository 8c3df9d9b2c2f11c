"""A hundred agents on one server, for as long as asked: no error, and no more of anything.

A few seconds by default. `SOAK_S=120` in the environment makes it two minutes.
"""

import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from statistics import median
from typing import Any, Final

import httpx
import msgspec
import psutil
import psycopg
import pytest
import trio

from tests.server.agents import Server
from tests.server.programs import Program, a_server, free_port, running
from tests.worker.harness import CountingRunner, until
from trioworker.cli.sinks import LEVELS
from trioworker.events import BatchStored, Event, WorkerStarted, discard
from trioworker.ids import new_id
from trioworker.model.agent_token import read_token
from trioworker.model.batching import Mode, sizes_for
from trioworker.server.agents import AGENT_LANES
from trioworker.server.running import SERVER_LANES
from trioworker.settings import LogLevel
from trioworker.store.agent import open_agent_store
from trioworker.store.postgres.database import open_database
from trioworker.store.postgres.store import WORKER_LANES
from trioworker.worker.config import Ports, WorkerConfig
from trioworker.worker.supervisor import Stop, work

SOAK_S: Final = float(os.environ.get("SOAK_S") or 4)
PATIENCE_S: Final = 60.0
AGENTS: Final = 100
TAGS: Final = ("red", "green", "blue", "white")
"""A job wakes the agents of its tag: each has one of these, in turn."""
EVERY_S: Final = 0.25
JOBS: Final = 10
"""How many jobs come at a time, now of one tag, now of another."""
LINES: Final = 3
"""Connections for notifications: of agents, of those who wait for results, of the sweeps."""
CONNECTIONS_MAX: Final = sum(lane.size for lane in (*AGENT_LANES, *SERVER_LANES)) + LINES
GROWTH_MAX: Final = 4 * 1024 * 1024
"""How many bytes the server may take more at the end than it took half-way."""


class Seen(msgspec.Struct):
    """What was measured, from outside."""

    bytes: list[int] = msgspec.field(default_factory=list)
    connections: int = 0

    @property
    def growth(self) -> int:
        """From the middle to the end, each of them the median of a tenth of what was seen."""
        tenth = max(1, len(self.bytes) // 10)
        middle = len(self.bytes) // 2
        return int(median(self.bytes[-tenth:]) - median(self.bytes[middle : middle + tenth]))


@dataclass
class Crowd:
    """The agents, what they ran, and what they said that they should not have to."""

    runner: CountingRunner = field(default_factory=CountingRunner)
    stop: Stop = field(default_factory=Stop)
    started: int = 0
    complaints: list[Event] = field(default_factory=list)

    def heard(self, event: Event) -> None:
        """Keep what is worth a warning."""
        self.started += isinstance(event, WorkerStarted)
        lost = isinstance(event, BatchStored) and event.lost
        if lost or LEVELS.get(type(event)) in {LogLevel.WARNING, LogLevel.ERROR}:
            self.complaints.append(event)

    async def work(self, url: str, token: str, mode: Mode, number: int) -> None:
        """One agent, with the settings of `trioworker run`."""
        config = WorkerConfig(
            name=f"agent-{number}", host="here", pid=number, mode=mode,
            tags=read_token(token).tags, sizes=sizes_for(mode, pull=100, commit=500),
            concurrency=100,
        )  # fmt: skip
        async with open_agent_store(
            url, token, batches=mode.batches, now_s=trio.current_time
        ) as store:
            report = await work(
                store=store,
                runners={"noop": self.runner},
                config=config,
                ports=Ports(new_id, Random(number)),
                stop=self.stop,
                emit=self.heard,
            )
        assert report.unsaved == []


@pytest.mark.timeout(SOAK_S + 3 * PATIENCE_S)
async def test_a_server_bears_a_hundred_agents(database_url: str) -> None:
    """Its memory stays, its connections are counted, nobody complains, and each job ends once."""
    port, crowd, seen = free_port(), Crowd(), Seen()
    server = a_server(database_url, port)
    url = f"http://127.0.0.1:{port}"
    tokens = await _tokens(database_url)
    async with running(server) as programs:
        await server.until_said("server listening")
        async with trio.open_nursery() as agents:
            for number in range(AGENTS):
                mode = Mode.AGENT if number % 5 == 0 else Mode.AGENT_BATCH
                agents.start_soon(crowd.work, url, tokens[number % len(TAGS)], mode, number)
            await until(lambda: crowd.started == AGENTS, within_s=PATIENCE_S)
            async with trio.open_nursery() as watch:
                watch.start_soon(_watch, server.pid, database_url, seen)
                jobs = await _trickle(url)
                await until(lambda: len(crowd.runner.executions) == jobs, within_s=PATIENCE_S)
                watch.cancel_scope.cancel()
            crowd.stop.ask()
        server.signal(signal.SIGTERM)
        await server.ended()
        programs.cancel_scope.cancel()
    print(_figures(jobs, seen))  # noqa: T201 - for whoever asked for two minutes
    assert crowd.complaints == []
    assert _complaints(server) == []
    assert set(crowd.runner.executions.values()) == {1}
    assert _ended(database_url) == {"success": jobs}
    assert seen.connections <= CONNECTIONS_MAX
    assert seen.growth <= GROWTH_MAX, _figures(jobs, seen)


async def _tokens(url: str) -> Sequence[str]:
    """One for each tag."""
    async with open_database(url, WORKER_LANES, emit=discard) as database:
        return [await Server("", database, []).token(tag) for tag in TAGS]


async def _trickle(url: str) -> int:
    """Enqueue jobs over HTTP, some at a time; returns how many they were."""
    jobs = 0
    end_s = trio.current_time() + SOAK_S
    async with httpx.AsyncClient(base_url=url, timeout=PATIENCE_S) as client:
        while trio.current_time() < end_s:
            tag = TAGS[jobs // JOBS % len(TAGS)]
            new = [{"path": "noop", "kind": "noop", "tag": tag}] * JOBS
            said = await client.post("/api/jobs/batch", json={"jobs": new})
            assert said.status_code == 200, said.text
            jobs += JOBS
            await trio.sleep(EVERY_S)
    return jobs


async def _watch(pid: int, url: str, seen: Seen) -> None:
    """Measure the server and its connections, as somebody who is neither."""
    process = psutil.Process(pid)
    with psycopg.connect(url, autocommit=True) as observer:
        while True:
            seen.bytes.append(process.memory_info().rss)
            row = observer.execute(
                "select count(*) from pg_stat_activity"
                " where datname = current_database() and pid <> pg_backend_pid()"
            ).fetchone()
            assert row is not None
            seen.connections = max(seen.connections, row[0])
            await trio.sleep(0.2)


def _complaints(server: Program) -> Sequence[Any]:
    """The lines of its log that are worth a warning."""
    lines = [msgspec.json.decode(line) for line in server.said.splitlines()]
    return [line for line in lines if line["level"] not in {"info", "debug"}]


def _ended(url: str) -> dict[str, int]:
    with psycopg.connect(url) as observer:
        rows = observer.execute(
            "select status, count(*) from trioworker.job_completed group by status"
        ).fetchall()
        left = observer.execute("select count(*) from trioworker.ready").fetchone()
    assert left == (0,)
    return dict(rows)


def _figures(jobs: int, seen: Seen) -> str:
    mib = [size / 2**20 for size in seen.bytes]
    return (
        f"{AGENTS} agents, {jobs} jobs in {SOAK_S:g} s: the server took {mib[0]:.1f} MiB at first,"
        f" {mib[len(mib) // 2]:.1f} half-way, {mib[-1]:.1f} at the end, growth of the second half"
        f" {seen.growth / 2**20:.2f} of at most {GROWTH_MAX / 2**20:g}, and at most"
        f" {seen.connections} of {CONNECTIONS_MAX} connections"
    )
