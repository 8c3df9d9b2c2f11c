"""A database that belongs to one measurement, and what is done with it.

Rule of this file: nothing of the user's is touched. A database is made beside the one that
DATABASE_URL names, and dropped whatever happens to the measurement.
"""

import re
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit
from uuid import UUID

import trio

from trioworker.bench.tally import TAG, Drained, Tally, ports
from trioworker.errors import Exhausted, UsageError
from trioworker.events import discard
from trioworker.ids import new_id
from trioworker.model.job import Job, Kind, NewJob
from trioworker.model.outcome import Executed, Succeeded
from trioworker.model.planner import NO_FLOORS, FloorColumns
from trioworker.model.tags import unranked
from trioworker.runners.protocol import Runner
from trioworker.store.postgres.database import Lane, PostgresDatabase, Transaction, open_database
from trioworker.store.postgres.embedded import open_embedded
from trioworker.store.postgres.jobs import CLIENT, PostgresJobs
from trioworker.store.postgres.migrate import migrate
from trioworker.store.postgres.statements import DEFAULT_SCHEMA
from trioworker.store.postgres.store import WORKER_LANES, PostgresStore
from trioworker.store.protocol import Store, WorkerInfo
from trioworker.worker.config import WorkerConfig
from trioworker.worker.supervisor import Stop, work

BENCH: Final = "bench"
"""The lane of everything that is not the worker's: filling, settling, loops in the server."""
SNAPSHOT: Final = "snapshot"
"""The lane of a transaction that somebody keeps open."""
STATEMENT_TIMEOUT_S: Final = 600.0
LEASE_S: Final = 3600.0
FILL_STEP: Final = 10_000
ALONE_FROM: Final = 3
"""More workers than a job of a measurement has lost."""
RESULT: Final = Succeeded(b"null")


@dataclass(frozen=True)
class Sort:
    """What the jobs of a measurement are, all alike. `args` and `options` are JSON."""

    kind: Kind
    path: str = "bench"
    args: str = "null"
    options: str | None = None


NOOP: Final = Sort("noop")


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


class Rig:
    """One database, and what a measurement does with it."""

    def __init__(self, url: str, database: PostgresDatabase) -> None:
        self.url = url
        self.database = database
        self.store = PostgresStore(database, now_s=trio.current_time)
        self._jobs = PostgresJobs(database)

    async def fill(
        self, count: int, sort: Sort = NOOP, *, tag: str = TAG, notify: bool = False
    ) -> None:
        """Enqueue `count` jobs in the order of their ids; `notify` hints at them."""
        for size in _steps(count, FILL_STEP):
            await self._enqueue(size, sort, tag, notify=notify)

    async def refill(self, count: int, sort: Sort = NOOP) -> None:
        """Exactly `count` jobs, and no debts that the clock would find."""
        await script(self.database, "empty")
        await self.fill(count, sort)
        await self.settle()

    async def refill_with(self, jobs: Sequence[NewJob]) -> None:
        """The same with jobs that are enqueued as a client does, whatever they say."""
        await script(self.database, "empty")
        for start in range(0, len(jobs), FILL_STEP):
            await self._jobs.enqueue(jobs[start : start + FILL_STEP])
        await self.settle()

    async def settle(self) -> None:
        """Pay the debts of the filling: dead rows, statistics, unwritten pages."""
        await script(self.database, "vacuum")
        try:
            await script(self.database, "checkpoint")
        except Exhausted:  # a user who may not: the server then writes the pages when it likes
            return

    async def drain(
        self,
        runners: Mapping[str, Runner],
        config: WorkerConfig,
        jobs: int,
        *,
        store: Store | None = None,
        or_more: bool = False,
    ) -> Drained:
        """Let one worker work until nothing is left: it must have stored `jobs` outcomes.

        Its `store` is the database's, unless it is said. With `or_more` those are the least, and
        all that were stored count.
        """
        tally = Tally()
        started_s, cpu_s = trio.current_time(), time.process_time()
        report = await work(
            store=store or self.store,
            runners=runners,
            config=config,
            ports=ports(),
            stop=Stop(),
            emit=tally,
        )
        assert not report.unsaved
        as_meant = tally.stored == jobs or (or_more and tally.stored > jobs)
        assert as_meant, f"{tally.stored} of {jobs} outcomes were stored"
        return Drained(tally.stored, tally.stored_s - started_s, time.process_time() - cpu_s, tally)

    @asynccontextmanager
    async def worker(
        self, runners: Mapping[str, Runner], config: WorkerConfig, *, store: Store | None = None
    ) -> AsyncIterator[Tally]:
        """A worker that runs for as long as the context lasts; entered when it looks for jobs."""
        tally, stop = Tally(), Stop()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                lambda: work(
                    store=store or self.store, runners=runners, config=config, ports=ports(),
                    stop=stop, emit=tally,
                )
            )  # fmt: skip
            yield tally
            stop.ask()

    async def register(self) -> UUID:
        """A worker that pulls and commits by hand, and that nobody takes for dead meanwhile."""
        worker = new_id()
        info = WorkerInfo(
            id=worker, name="bench", host="", pid=0, mode="", tags=unranked(TAG), lease_s=LEASE_S
        )
        await self.store.register(info)
        return worker

    async def pull(
        self, worker: UUID, size: int, *, tag: str = TAG, floors: FloorColumns = NO_FLOORS
    ) -> Sequence[Job]:
        """One claim of exactly `size` jobs."""
        jobs = await self.store.pull(
            worker, new_id(), size, unranked(tag), floors, alone_from=ALONE_FROM
        )
        assert len(jobs) == size, f"{len(jobs)} jobs were pulled, not {size}"
        return jobs

    async def commit(self, worker: UUID, jobs: Sequence[Job]) -> None:
        """One commit that stores a success for each of `jobs`."""
        now_s = trio.current_time()
        executed = [Executed(job, RESULT, now_s, 0.0) for job in jobs]
        stored = await self.store.commit(worker, executed, again=False)
        assert not stored.lost

    async def _enqueue(self, size: int, sort: Sort, tag: str, *, notify: bool) -> None:
        ids = [new_id() for _ in range(size)]
        columns = (
            ids, [sort.kind] * size, [sort.path] * size, [sort.args] * size, [tag] * size,
            [0] * size, [None] * size, [sort.options] * size, [False] * size, [""] * size,
            [None] * size,
        )  # fmt: skip

        async def body(tx: Transaction) -> None:
            await tx.run("enqueue", *columns)
            if notify:
                await tx.run("notify_ready", [tag])

        await self.database.transact(BENCH, body)


async def script(database: PostgresDatabase, name: str, /, **values: str | int | UUID) -> None:
    """Run sql/`name`.sql with its `@placeholders@` filled in, outside any transaction."""
    text = sql(name, **values)
    await database.transact(BENCH, lambda tx: tx.script(text), one=True)


def sql(name: str, /, **values: str | int | UUID) -> str:
    """The text of sql/`name`.sql with its `@placeholders@` filled in."""
    text = (resources.files("trioworker.bench") / "sql" / f"{name}.sql").read_text("utf-8")
    return re.sub(r"@(\w+)@", lambda hole: str(values[hole[1]]), text)


@asynccontextmanager
async def _open_rig(url: str) -> AsyncIterator[Rig]:
    lanes = (*WORKER_LANES, Lane(CLIENT), Lane(BENCH), Lane(SNAPSHOT))
    async with open_database(
        url, lanes, emit=discard, command_timeout_s=STATEMENT_TIMEOUT_S
    ) as database:
        await migrate(database, DEFAULT_SCHEMA)
        yield Rig(url, database)


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
