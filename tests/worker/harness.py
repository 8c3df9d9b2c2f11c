"""A worker on a real database, driven from a test: what it runs, what it says, what is stored."""

import random
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from uuid import UUID

import msgspec
import psycopg
import trio

from trioworker.events import Event, StatementRun
from trioworker.ids import new_id
from trioworker.model.batching import Mode, sizes_for
from trioworker.model.job import Job
from trioworker.model.options import RetryPolicy
from trioworker.model.outcome import Outcome, Succeeded
from trioworker.model.tags import unranked
from trioworker.runners.immediate import noop_runner
from trioworker.runners.joblog import JobLog
from trioworker.runners.protocol import Runner
from trioworker.store.postgres.database import PostgresDatabase, open_database
from trioworker.store.postgres.migrate import migrate
from trioworker.store.postgres.store import WORKER_LANES, PostgresStore
from trioworker.store.protocol import Store
from trioworker.worker.config import Ports, WorkerConfig
from trioworker.worker.supervisor import Report, Stop, work

E = TypeVar("E", bound=Event)
Body = Callable[[Job], Awaitable[Outcome]]


async def succeed(_job: Job) -> Outcome:
    """The job body of those who do not care."""
    return Succeeded(b'"done"')


class CountingRunner:
    """Runs `body` for every job and counts how often each was executed."""

    run_now = None

    def __init__(self, body: Body = succeed) -> None:
        self.body = body
        self.executions: Counter[UUID] = Counter()

    def retry_of(self, _job: Job) -> RetryPolicy | None:
        """Nothing but what the job says."""
        return None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Nothing lives between the jobs."""
        yield

    async def run(self, job: Job, log: JobLog) -> Outcome:
        """Count, then do as `body` says."""
        del log
        self.executions[job.id] += 1
        return await self.body(job)


class Rig:
    """One database with a schema, and workers on it."""

    def __init__(self, url: str, database: PostgresDatabase, events: list[Event]) -> None:
        self.url = url
        self.database = database
        self.events = events
        self.runner = CountingRunner()

    async def enqueue(self, count: int, **columns: object) -> list[UUID]:
        """Enqueue `count` function jobs; `columns` overrides kind, tag, priority, args, options."""
        ids = [new_id() for _ in range(count)]
        await self.database.run(
            "control",
            "enqueue",
            ids,
            [columns.get("kind", "function")] * count,
            [columns.get("path", "test")] * count,
            [columns.get("args", "{}")] * count,
            [columns.get("tag", "default")] * count,
            [columns.get("priority", 0)] * count,
            [None] * count,
            [columns.get("options")] * count,
            [False] * count,
            [""] * count,
            [None] * count,
        )
        return ids

    async def work(
        self,
        *,
        stop: Stop | None = None,
        store: Store | None = None,
        runner: Runner | None = None,
        mode: Mode = Mode.AGENT_BATCH,
        pull: int = 100,
        commit: int = 100,
        **settings: object,
    ) -> Report:
        """Run one worker until it is drained or stopped."""
        defaults: dict[str, object] = {
            "name": "test", "host": "here", "pid": 1, "tags": unranked("default"),
            "concurrency": 100, "drain": stop is None, "report_jobs": True,
        }  # fmt: skip
        config = WorkerConfig(
            mode=mode,
            sizes=sizes_for(mode, pull=pull, commit=commit),
            **(defaults | settings),  # type: ignore[arg-type]  # checked where it is used
        )
        return await work(
            store=store or self.store(),
            runners={"function": runner or self.runner, "noop": noop_runner()},
            config=config,
            ports=Ports(new_id, random.Random(1)),
            stop=stop or Stop(),
            emit=self.events.append,
        )

    def store(self) -> PostgresStore:
        """The real store, over this rig's connections."""
        return PostgresStore(self.database, now_s=trio.current_time)

    def said(self, kind: type[E]) -> list[E]:
        """The events of one kind, in order."""
        return [event for event in self.events if isinstance(event, kind)]

    def statements(self, name: str) -> list[StatementRun]:
        """How a named statement was run."""
        return [event for event in self.said(StatementRun) if event.name == name]

    def query(self, sql: str, *arguments: object) -> list[tuple[Any, ...]]:
        """Ask the database directly, past the code under test."""
        with psycopg.connect(self.url) as connection:
            return connection.execute(sql, arguments).fetchall()

    def do(self, sql: str, *arguments: object) -> None:
        """Change something in the database directly."""
        with psycopg.connect(self.url) as connection:
            connection.execute(sql, arguments or None)

    def counts(self) -> Mapping[str, int]:
        """How many jobs stand where: invariant 1 in one look."""
        row = self.query(
            "select (select count(*) from trioworker.ready),"
            " (select count(*) from trioworker.waiting),"
            " (select coalesce(sum(cardinality(ids)), 0) from trioworker.claim),"
            " (select count(*) from trioworker.job_completed)"
        )[0]
        return dict(zip(("ready", "waiting", "claimed", "completed"), map(int, row), strict=True))

    def statuses(self) -> Mapping[str, int]:
        """How many completed jobs have which status."""
        return dict(
            self.query("select status, count(*) from trioworker.job_completed group by status")
        )

    def errors(self) -> Sequence[Any]:
        """The stored errors, by job id."""
        rows = self.query(
            "select error::text from trioworker.job_completed where error is not null order by id"
        )
        return [msgspec.json.decode(row[0]) for row in rows]


@asynccontextmanager
async def open_rig(url: str) -> AsyncIterator[Rig]:
    """A rig over the database at `url`, which is migrated first."""
    events: list[Event] = []
    async with open_database(url, WORKER_LANES, emit=events.append) as database:
        await migrate(database, "trioworker")
        events.clear()
        yield Rig(url, database, events)


async def until(condition: Callable[[], object], *, within_s: float = 30.0) -> None:
    """Wait for a fact that only looking can find; fails the test when it does not come."""
    pause_s = 0.01
    with trio.fail_after(within_s):
        while not condition():
            await trio.sleep(pause_s)
            pause_s = min(1.1 * pause_s, 0.05)  # what takes long is not looked for all the time


@asynccontextmanager
async def program(rig: Rig, job_s: float, lease_s: float) -> AsyncIterator[trio.Process]:
    """A worker process that sleeps `job_s` seconds per job, and keeps a table of executions."""
    rig.do("create table if not exists executed (id uuid, pid integer)")
    process = await trio.lowlevel.open_process(
        [sys.executable, "-m", "tests.worker.program", rig.url, str(job_s), str(lease_s)],
        stdout=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


async def read_until(process: trio.Process, word: str) -> str:
    """What the process prints, up to `word`."""
    said = ""
    with trio.fail_after(30):
        while word not in said:
            assert process.stdout is not None
            said += (await process.stdout.receive_some()).decode()
    return said
