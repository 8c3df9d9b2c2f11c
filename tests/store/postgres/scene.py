"""A queue on a real database, as the tests of the store set it up and look at it."""

import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast
from uuid import UUID

import psycopg
import pytest
import trio
from psycopg import sql

from tests.database_fixtures import available_versions
from trioworker.events import Event, StatementRun
from trioworker.ids import new_id
from trioworker.model.job import Job, NewJob
from trioworker.model.options import NO_OPTIONS, JobOptions
from trioworker.model.outcome import Executed, Outcome, Succeeded
from trioworker.model.planner import NO_FLOORS, FloorColumns
from trioworker.model.tags import Tags, unranked
from trioworker.store.postgres.database import Lane, PostgresDatabase, open_database
from trioworker.store.postgres.jobs import CLIENT, PostgresJobs
from trioworker.store.postgres.statements import DEFAULT_SCHEMA, in_schema, load_statements
from trioworker.store.postgres.store import COMMIT, CONTROL, PULL, RUNNING, PostgresStore
from trioworker.store.protocol import WorkerInfo

LANES: Final = (
    Lane(PULL, size=4, durable=False),
    Lane(COMMIT, size=4),
    Lane(CONTROL, size=4),
    Lane(CLIENT, size=4),
    Lane(RUNNING, size=4),
)
PLACES: Final = ("ready", "waiting", "claimed", "completed")

on_every_version: Final = pytest.mark.parametrize(
    "postgres_version", available_versions(), indirect=True, ids="postgres{}".format
)
"""For a test that takes a scene, or a url, of this folder: once for each PostgreSQL there is."""


class Scene:
    """One migrated database, the store on it, and a way past the store.

    SQL of the tests names the schema `trioworker`; a scene in another one reads it as its own.
    """

    def __init__(
        self, url: str, database: PostgresDatabase, events: Sequence[Event], schema: str
    ) -> None:
        self.url = url
        self.database = database
        self.schema = schema
        self.store = PostgresStore(database, now_s=trio.current_time)
        self.jobs = PostgresJobs(database)
        self._events = events
        self._past_the_store: psycopg.Connection[tuple[Any, ...]] | None = None

    async def enqueue(
        self,
        count: int = 1,
        *,
        tag: str = "default",
        priority: int = 0,
        due_s: float | None = None,
        awaited: bool = False,
        options: JobOptions = NO_OPTIONS,
    ) -> list[UUID]:
        """Enqueue `count` jobs, due `due_s` seconds from now."""
        due = None if due_s is None else datetime.now(UTC) + timedelta(seconds=due_s)
        jobs = [
            NewJob(
                id=new_id(),
                kind="function",
                path="f",
                args=b"{}",
                tag=tag,
                priority=priority,
                scheduled_for=due,
                awaited=awaited,
                options=options,
            )
            for _ in range(count)
        ]
        await self.jobs.enqueue(jobs)
        return [job.id for job in jobs]

    async def worker(
        self,
        *,
        lease_s: float = 60.0,
        tags: Sequence[str] = ("default",),
        id_: UUID | None = None,
    ) -> UUID:
        """Register a worker, a new one unless `id_` says which."""
        info = WorkerInfo(
            id=id_ or new_id(),
            name="w",
            host="h",
            pid=1,
            mode="worker",
            tags=unranked(*tags),
            lease_s=lease_s,
        )
        await self.store.register(info)
        return info.id

    async def pull(
        self,
        worker: UUID,
        size: int = 100,
        *,
        tags: Sequence[str] = ("default",),
        ranks: Sequence[int] | None = None,
        floors: FloorColumns = NO_FLOORS,
        alone_from: int = 3,
    ) -> Sequence[Job]:
        """Pull for `worker` under a new claim."""
        ranked = unranked(*tags) if ranks is None else Tags(tuple(tags), tuple(ranks))
        return await self.store.pull(worker, new_id(), size, ranked, floors, alone_from=alone_from)

    async def silence(self, worker: UUID, seconds: float = 3600) -> None:
        """Let it be so long since the worker's last heartbeat."""
        self.do(
            "update trioworker.worker set last_heartbeat = now() - %s * interval '1 second'"
            " where id = %s",
            seconds,
            worker,
        )

    def query(self, text: str, *arguments: object) -> list[tuple[Any, ...]]:
        """Ask the database directly, past the code under test."""
        return self._ask(text, arguments).fetchall()

    def do(self, text: str, *arguments: object) -> None:
        """Change something in the database directly."""
        self._ask(text, arguments)

    @contextmanager
    def under_way(
        self, name: str, *arguments: object
    ) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        """Somebody else's transaction in which the statement `name` has run, until it commits."""
        text = cast("Any", load_statements(self.schema)[name].sql)
        with psycopg.connect(self.url, cursor_factory=psycopg.RawCursor) as connection:
            connection.execute(text, arguments)
            yield connection

    @contextmanager
    def frozen(self, lane: str) -> Iterator[None]:
        """The server's process for the lane answers nothing, as if its host had gone."""
        ((pid,),) = self.query(
            "select pid from pg_stat_activity"
            " where datname = current_database() and application_name = %s",
            f"trioworker {lane}",
        )
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    async def until_blocked(self, count: int = 1) -> None:
        """Return when `count` connections wait for a lock in this database."""
        await until(lambda: self.blocked() == count)

    def blocked(self) -> int:
        """How many connections wait for a lock in this database."""
        ((count,),) = self.query(
            "select count(*) from pg_stat_activity"
            " where wait_event_type = 'Lock' and datname = current_database()"
        )
        return int(count)

    def places(self) -> Mapping[str, int]:
        """How many jobs stand where, those places left out where none does."""
        row = self.query(
            "select (select count(*) from trioworker.ready),"
            " (select count(*) from trioworker.waiting),"
            " (select coalesce(sum(cardinality(ids)), 0) from trioworker.claim),"
            " (select count(*) from trioworker.job_completed)"
        )[0]
        return {place: int(n) for place, n in zip(PLACES, row, strict=True) if n}

    def _ask(self, text: str, arguments: Sequence[object]) -> psycopg.Cursor[tuple[Any, ...]]:
        """On a connection that is kept, unless a restart of the server has cut it."""
        statement = sql.SQL(cast("Any", in_schema(text, self.schema)))
        if self._past_the_store is None or self._past_the_store.closed:
            self._past_the_store = psycopg.connect(self.url, autocommit=True)
        return self._past_the_store.execute(statement, arguments)

    def close(self) -> None:
        """Close the way past the store."""
        if self._past_the_store is not None:
            self._past_the_store.close()

    def statements(self) -> list[StatementRun]:
        """The statements that ran so far, in order."""
        return [event for event in self._events if isinstance(event, StatementRun)]


@asynccontextmanager
async def open_scene(url: str, *, schema: str = DEFAULT_SCHEMA) -> AsyncIterator[Scene]:
    """A scene on the migrated database at `url`."""
    events: list[Event] = []
    async with open_database(url, LANES, emit=events.append, schema=schema) as database:
        with closing(Scene(url, database, events, schema)) as scene:
            yield scene


async def until(condition: Callable[[], object]) -> None:
    """Wait for a fact that only looking can find."""
    with trio.fail_after(30):
        while not condition():  # noqa: ASYNC110 - the fact is in the server
            await trio.sleep(0.01)


def executed(job: Job, outcome: Outcome | None = None, *, log: str = "") -> Executed:
    """An attempt of `job` that is over just now, after half a second."""
    return Executed(job, outcome or Succeeded(b'"done"'), trio.current_time() - 0.5, 0.5, log)


def ids_of(jobs: Sequence[Job]) -> list[UUID]:
    """The ids of the jobs, in their order."""
    return [job.id for job in jobs]
