"""A database that belongs to one measurement, and the real worker on it.

Rule of this file: nothing of the user's is touched. A database is made beside the one that
DATABASE_URL names, and dropped whatever happens to the measurement.
"""

import os
import re
import socket
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from random import Random
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit
from uuid import UUID

import trio

from trioworker.errors import Exhausted, UsageError
from trioworker.events import BatchPulled, BatchStored, Event, WorkerStarted, discard
from trioworker.ids import new_id
from trioworker.model.batching import Fallback, Mode, sizes_for
from trioworker.model.job import Job, Kind
from trioworker.model.outcome import Executed, Succeeded
from trioworker.model.planner import NO_FLOORS, FloorColumns
from trioworker.runners.protocol import Runner
from trioworker.store.postgres.database import Lane, PostgresDatabase, open_database
from trioworker.store.postgres.embedded import open_embedded
from trioworker.store.postgres.migrate import migrate
from trioworker.store.postgres.statements import DEFAULT_SCHEMA
from trioworker.store.postgres.store import WORKER_LANES, PostgresStore
from trioworker.store.protocol import WorkerInfo
from trioworker.worker.config import Ports, WorkerConfig
from trioworker.worker.supervisor import Stop, work

BENCH: Final = "bench"
"""The lane of everything that is not the worker's: filling, settling, loops in the server."""
SNAPSHOT: Final = "snapshot"
"""The lane of a transaction that somebody keeps open."""
TAG: Final = "bench"
STATEMENT_TIMEOUT_S: Final = 600.0
FILL_STEP: Final = 10_000
CONCURRENCY: Final = 100
LEASE_S: Final = 3600.0
SEED: Final = 1
RESULT: Final = Succeeded(b"null")


@dataclass(frozen=True)
class Server:
    """A PostgreSQL on which databases may be made; `version` as it says itself."""

    url: str
    version: str

    @asynccontextmanager
    async def rig(self) -> AsyncIterator["Rig"]:
        """A new database with our schema. Raises `UsageError` when the user may not make one."""
        name = f"trioworker_bench_{new_id().hex}"
        async with open_database(
            self.url, (Lane(BENCH),), emit=discard, command_timeout_s=STATEMENT_TIMEOUT_S
        ) as admin:
            await _create_database(admin, name)
            try:
                async with _open_rig(_url_of(self.url, name)) as rig:
                    yield rig
            finally:
                with trio.CancelScope(shield=True):
                    await script(admin, "drop_database", database=name)


@asynccontextmanager
async def open_server(database_url: str | None, data_dir: Path | None) -> AsyncIterator[Server]:
    """The server of `database_url`, else the embedded one of `data_dir`.

    Raises what these raise when there is none: `UsageError` or `StoreError`.
    """
    if database_url is None:
        async with open_embedded(data_dir) as embedded:
            yield Server(embedded.url, await _version(embedded.url))
    else:
        yield Server(database_url, await _version(database_url))


@dataclass
class Tally:
    """A sink that counts what a worker pulled and stored. All times in seconds.

    `claimed_s` and `stored_s` are readings of Trio's clock: the first pull's reply and the last
    commit's.
    """

    pulls: int = 0
    pull_s: float = 0.0
    commits: int = 0
    commit_s: float = 0.0
    stored: int = 0
    failed: int = 0
    claimed_s: float | None = None
    stored_s: float = 0.0
    started: trio.Event = field(default_factory=trio.Event)

    def __call__(self, event: Event) -> None:
        match event:
            case BatchPulled(seconds=seconds):
                self.pulls += 1
                self.pull_s += seconds
                if self.claimed_s is None:
                    self.claimed_s = trio.current_time()
            case BatchStored(stored=stored, failed=failed, seconds=seconds):
                self.commits += 1
                self.commit_s += seconds
                self.stored += stored
                self.failed += failed
                self.stored_s = trio.current_time()
            case WorkerStarted():
                self.started.set()


@dataclass(frozen=True)
class Drained:
    """How long a worker took for `jobs` jobs: from before its first pull to its last commit.

    `cpu_s` is what this process computed in the meantime, the client's share of the work.
    """

    jobs: int
    seconds: float
    cpu_s: float
    tally: Tally

    @property
    def jobs_per_s(self) -> float:
        """Jobs pulled, run and stored in a second."""
        return self.jobs / self.seconds


class Rig:
    """One database, and what a measurement does with it."""

    def __init__(self, database: PostgresDatabase) -> None:
        self.database = database
        self.store = PostgresStore(database, now_s=trio.current_time)

    async def fill(
        self, count: int, *, kind: Kind = "noop", path: str = "bench", args: str = "null",
        options: str | None = None, tag: str = TAG,
    ) -> None:  # fmt: skip
        """Enqueue `count` jobs that are alike, in the order of their ids."""
        for size in _steps(count, FILL_STEP):
            await self.database.run(
                BENCH,
                "enqueue",
                [new_id() for _ in range(size)],
                [kind] * size,
                [path] * size,
                [args] * size,
                [tag] * size,
                [0] * size,
                [None] * size,
                [options] * size,
                [False] * size,
                [""] * size,
            )

    async def empty(self) -> None:
        """Forget all jobs."""
        await script(self.database, "empty")

    async def settle(self) -> None:
        """Let the clock find no debts of the filling: dead rows, statistics, unwritten pages."""
        await script(self.database, "vacuum")
        try:
            await script(self.database, "checkpoint")
        except Exhausted:  # a user who may not: the server then writes the pages when it likes
            return

    async def refill(self, count: int, *, kind: Kind = "noop", path: str = "bench",
                     args: str = "null", options: str | None = None) -> None:  # fmt: skip
        """Exactly `count` jobs, settled."""
        await self.empty()
        await self.fill(count, kind=kind, path=path, args=args, options=options)
        await self.settle()

    async def register(self) -> UUID:
        """A worker that pulls and commits by hand, and that nobody takes for dead meanwhile."""
        worker = new_id()
        info = WorkerInfo(
            id=worker, name="bench", host="", pid=0, mode="", tags=[TAG], lease_s=LEASE_S
        )
        await self.store.register(info)
        return worker

    async def pull(
        self, worker: UUID, size: int, *, tag: str = TAG, floors: FloorColumns = NO_FLOORS
    ) -> Sequence[Job]:
        """One claim of exactly `size` jobs."""
        jobs = await self.store.pull(worker, new_id(), size, [tag], floors)
        assert len(jobs) == size, f"{len(jobs)} jobs were pulled, not {size}"
        return jobs

    async def commit(self, worker: UUID, jobs: Sequence[Job]) -> None:
        """One commit that stores a success for each of `jobs`."""
        now_s = trio.current_time()
        executed = [Executed(job, RESULT, now_s, 0.0) for job in jobs]
        lost = await self.store.commit(worker, executed, again=False)
        assert not lost

    async def drain(
        self, runners: Mapping[str, Runner], config: WorkerConfig, jobs: int
    ) -> Drained:
        """Let one worker work until nothing is left, which must have been `jobs` jobs."""
        tally = Tally()
        started_s, cpu_s = trio.current_time(), time.process_time()
        report = await work(
            store=self.store, runners=runners, config=config, ports=ports(), stop=Stop(),
            emit=tally,
        )  # fmt: skip
        assert not report.unsaved
        assert tally.stored == jobs, f"{tally.stored} of {jobs} jobs were stored"
        return Drained(
            jobs, tally.stored_s - started_s, time.process_time() - cpu_s, tally
        )


def worker_config(
    mode: Mode,
    *,
    batch: int = 1,
    concurrency: int = CONCURRENCY,
    fallback: Fallback = Fallback.PER_JOB,
    drain: bool = True,
) -> WorkerConfig:
    """A worker as users run it, with `batch` for pull and commit where `mode` allows it."""
    return WorkerConfig(
        name="bench",
        host=socket.gethostname(),
        pid=os.getpid(),
        mode=mode,
        tags=[TAG],
        sizes=sizes_for(mode, pull=batch, commit=batch),
        concurrency=concurrency,
        fallback=fallback,
        drain=drain,
    )


def ports() -> Ports:
    """Real ids, repeatable chance."""
    return Ports(new_id, Random(SEED))


async def script(database: PostgresDatabase, name: str, /, **values: str | int | UUID) -> None:
    """Run sql/`name`.sql with its `@placeholders@` filled in, each statement on its own."""
    text = sql(name, **values)
    await database.transact(BENCH, lambda tx: tx.script(text), one=True)


def sql(name: str, /, **values: str | int | UUID) -> str:
    """The text of sql/`name`.sql with its `@placeholders@` filled in."""
    text = (resources.files("trioworker.bench") / "sql" / f"{name}.sql").read_text("utf-8")
    return re.sub(r"@(\w+)@", lambda hole: str(values[hole[1]]), text)


@asynccontextmanager
async def _open_rig(url: str) -> AsyncIterator[Rig]:
    lanes = (*WORKER_LANES, Lane(BENCH), Lane(SNAPSHOT))
    async with open_database(
        url, lanes, emit=discard, command_timeout_s=STATEMENT_TIMEOUT_S
    ) as database:
        await migrate(database, DEFAULT_SCHEMA)
        yield Rig(database)


async def _create_database(admin: PostgresDatabase, name: str) -> None:
    try:
        await script(admin, "create_database", database=name)
    except Exhausted as error:
        raise UsageError(
            f"a benchmark needs a database of its own, and none could be made: {error};"
            " give this user CREATEDB, or unset DATABASE_URL to use the embedded server"
        ) from error


async def _version(url: str) -> str:
    async with open_database(url, (Lane(BENCH),), emit=discard) as database:
        rows = await database.run(BENCH, "server_version")
    return str(rows[0][0])


def _url_of(url: str, database: str) -> str:
    """The address of another database of the same server."""
    parts = urlsplit(url)
    query = [(k, v) for k, v in parse_qsl(parts.query) if k not in {"dbname", "database"}]
    return urlunsplit(parts._replace(path=f"/{database}", query=urlencode(query)))


def _steps(count: int, step: int) -> Iterator[int]:
    for done in range(0, count, step):
        yield min(step, count - done)
