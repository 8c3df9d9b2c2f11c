"""`agents`: what HTTP costs a worker, in batches and one job at a time.

Rule of this file: the server is a process of its own, as in production, and all its requests go
over a socket of this host. A worker with the database and an agent get the same jobs, in turns.
"""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib import resources
from typing import Final

import msgspec
import trio

from trioworker.bench.dedicated import ARGS, ENQUEUED, dedicated_runners
from trioworker.bench.figures import Measured, Samples, shown
from trioworker.bench.rig import BENCH, Rig, Server, Sort
from trioworker.bench.tally import CONCURRENCY, TAG, worker_config
from trioworker.bench.turns import in_turns
from trioworker.ids import new_id
from trioworker.model.agent_token import AgentToken, encode_token
from trioworker.model.batching import Mode
from trioworker.model.tags import unranked
from trioworker.runners.immediate import noop_runner
from trioworker.runners.protocol import Runner
from trioworker.runners.registry import open_runners
from trioworker.store.postgres.tokens import PostgresTokens
from trioworker.store.protocol import Store

JOBS: Final = 20_000
PER_JOB_SHARE: Final = 40
"""An agent that asks for one job at a time gets so many times fewer jobs, to take about as long."""
BATCHES: Final = (100, 500)
ROUNDS: Final = 3
SECRET: Final = "bench" * 8
"""Of a server that nobody else can reach, and of a database that is dropped afterwards."""
SCRIPT: Final = "identity.py"
RUNNERS: Final[Mapping[str, Runner]] = {"noop": noop_runner()}


@dataclass(frozen=True)
class Agents:
    """A server before the database of a rig, and a token for agents of it."""

    rig: Rig
    address: str
    token: str

    @asynccontextmanager
    async def store(self, *, batches: bool) -> AsyncIterator[Store]:
        """The store of an agent."""
        # Every command imports this file; HTTP is for this one alone.
        from trioworker.store.agent import open_agent_store  # noqa: PLC0415 - as it says

        async with open_agent_store(
            self.address, self.token, batches=batches, now_s=trio.current_time
        ) as store:
            yield store

    async def by_sql(self, jobs: int, batch: int) -> float:
        """Jobs per second of a worker with the database."""
        await self.rig.refill(jobs)
        config = worker_config(Mode.AGENT_BATCH, batch=batch)
        return (await self.rig.drain(RUNNERS, config, jobs)).jobs_per_s

    async def by_http(self, jobs: int, batch: int) -> float:
        """Jobs per second of an agent; with a `batch` of one in the mode without batches."""
        mode = Mode.AGENT_BATCH if batch > 1 else Mode.AGENT
        await self.rig.refill(jobs)
        async with self.store(batches=mode.batches) as store:
            config = worker_config(mode, batch=batch)
            return (await self.rig.drain(RUNNERS, config, jobs, store=store)).jobs_per_s

    async def dedicated(self, runners: Mapping[str, Runner], jobs: int) -> float:
        """Jobs per second through a long-lived script, from the first enqueue on."""
        sort = Sort("script", path=SCRIPT, args=ARGS, options='{"dedicated": true}')
        await self.rig.refill(0)
        config = worker_config(Mode.AGENT_BATCH, batch=max(BATCHES), drain=False)
        async with (
            self.store(batches=True) as store,
            self.rig.worker(runners, config, store=store) as tally,
        ):
            await self.rig.fill(1, sort, notify=True)
            await tally.until_stored(1)
            started_s = trio.current_time()
            for done in range(0, jobs, ENQUEUED):
                await self.rig.fill(min(ENQUEUED, jobs - done), sort, notify=True)
            await tally.until_stored(jobs + 1)
        assert tally.failed == 0
        return jobs / (tally.stored_s - started_s)


async def measure(server: Server, *, jobs: int = JOBS) -> Measured:
    """Drain `jobs` jobs with a worker and with agents, in turns."""
    with resources.as_file(resources.files("trioworker.bench") / "scripts") as folder:
        runners = dedicated_runners(folder, CONCURRENCY)
        async with server.rig() as rig, open_runners(runners), _agents(rig) as agents:
            sides = {("sql", batch): partial(agents.by_sql, jobs, batch) for batch in BATCHES} | {
                ("http", batch): partial(agents.by_http, jobs, batch) for batch in BATCHES
            }
            sides["http", 1] = partial(agents.by_http, max(1, jobs // PER_JOB_SHARE), 1)
            sides["script", max(BATCHES)] = partial(agents.dedicated, runners, jobs)
            await agents.by_http(max(BATCHES), max(BATCHES))
            rates = await in_turns(ROUNDS, sides)
    return _measured({side: Samples(found) for side, found in rates.items()}, jobs)


@asynccontextmanager
async def _agents(rig: Rig) -> AsyncIterator[Agents]:
    token = AgentToken(new_id(), "bench", unranked(TAG))
    await PostgresTokens(rig.database, BENCH).add(token, created_by="bench")
    own = {name: value for name, value in os.environ.items() if "TRIOWORKER_" not in name}
    process = await trio.lowlevel.open_process(
        [sys.executable, "-m", "trioworker", "server", "--listen", "127.0.0.1:0",
         "--log-format", "json"],
        env={**own, "DATABASE_URL": rig.url, "TRIOWORKER_AGENT_SECRET": SECRET},
        stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    try:
        async with trio.open_nursery() as nursery:
            address = await nursery.start(_read, process.stderr)
            yield Agents(rig, address, encode_token(token, SECRET))
            nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True):
            process.terminate()
            await process.wait()


async def _read(
    log: trio.abc.ReceiveStream, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED
) -> None:
    """Read a server's log to its end, and tell the address that it is served at."""
    said = b""
    told = False
    async for piece in log:
        said += piece
        *lines, said = said.split(b"\n")
        for line in lines if not told else ():
            address = msgspec.json.decode(line).get("address")
            if address is not None:
                told = True
                task_status.started(address)
    assert told, "the server ended before it served"


def _measured(rates: Mapping[tuple[str, int], Samples], jobs: int) -> Measured:
    per_s = {side: found.median for side, found in rates.items()}
    shares = {batch: per_s["http", batch] / per_s["sql", batch] for batch in BATCHES}
    names = {"sql": "worker with the database", "http": "agent", "script": "agent, one script"}
    return Measured(
        about="No-op jobs pulled, run and stored: by a worker with the database, and by agents of"
        " a server beside it; and jobs of a dedicated identity script on an agent, from the first"
        " enqueue on.",
        columns=("", "batch", "jobs/s, median", "lowest … highest", "over SQL"),
        rows=[
            (
                names[kind],
                str(batch),
                *found.shown(),
                shown(shares[batch]) if kind == "http" and batch in shares else "",
            )
            for (kind, batch), found in rates.items()
        ],
        figures={
            "over_sql": min(shares.values()),
            **{f"over_sql_{batch}": share for batch, share in shares.items()},
            "over_agent": per_s["http", max(BATCHES)] / per_s["http", 1],
            **{f"{kind}_{batch}_jobs_per_s": rate for (kind, batch), rate in per_s.items()},
            "jobs": jobs,
            "rounds": ROUNDS,
        },
    )
