"""A user's program on Trio and the same on asyncio, and what it needs around it.

Rule of this file: nothing in it runs on the event loop of the program under test. Workers and
servers have threads of their own, so a test reads the same on both libraries.
"""

import asyncio
import inspect
import random
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
    suppress,
)
from datetime import datetime
from functools import partial, wraps
from pathlib import Path
from typing import Any, Final, TypeVar, cast
from uuid import UUID

import anyio
import msgspec
import psycopg
import pytest
import trio
from psycopg import sql

from tests.database_fixtures import PostgresServer, private_server
from trioworker.app import App
from trioworker.events import Event, WorkerStarted, discard
from trioworker.ids import new_id
from trioworker.model.batching import Mode, sizes_for
from trioworker.model.job import NewJob
from trioworker.model.tags import unranked
from trioworker.runners.registry import build_runners, open_runners
from trioworker.store.postgres.database import Lane, open_database
from trioworker.store.postgres.migrate import ADMIN, migrate
from trioworker.store.postgres.statements import DEFAULT_SCHEMA
from trioworker.store.postgres.store import WORKER_LANES, PostgresStore
from trioworker.worker.config import Ports, WorkerConfig
from trioworker.worker.supervisor import Stop, work

T = TypeVar("T")
Program = Callable[..., Coroutine[Any, Any, None]]

PATIENCE_S: Final = 30.0


def on_trio(program: Program) -> None:
    """Run it as a program on Trio does."""
    trio.run(program)


def on_asyncio(program: Program) -> None:
    """Run it as a program on asyncio does."""
    asyncio.run(program())


def on_both(test: Program) -> Callable[..., None]:
    """The test, once as a program on Trio and once as one on asyncio."""

    @wraps(test)
    def driven(run: Callable[[Program], None], **fixtures: object) -> None:
        run(partial(test, **fixtures))

    signature = inspect.signature(test)
    run = inspect.Parameter("run", inspect.Parameter.KEYWORD_ONLY)
    cast("Any", driven).__signature__ = signature.replace(
        parameters=[*signature.parameters.values(), run]
    )
    libraries = pytest.mark.parametrize("run", [on_trio, on_asyncio], ids=["trio", "asyncio"])
    return cast("Callable[..., None]", libraries(driven))


def ask(url: str, text: str, *arguments: object) -> list[tuple[Any, ...]]:
    """Ask the database directly, past the code under test."""
    with psycopg.connect(url) as connection:
        return connection.execute(sql.SQL(cast("Any", text)), arguments or None).fetchall()


def do(url: str, text: str, *arguments: object) -> None:
    """Change something in the database directly."""
    with psycopg.connect(url) as connection:
        connection.execute(sql.SQL(cast("Any", text)), arguments or None)


def empty(url: str) -> None:
    """Delete all rows of all tables but the migrations'."""
    with psycopg.connect(url) as connection:
        for (table,) in connection.execute(
            "select tablename from pg_tables"
            " where schemaname = 'trioworker' and tablename <> 'migration'"
        ).fetchall():
            connection.execute(
                sql.SQL("delete from {}").format(sql.Identifier("trioworker", table))
            )


def new_job(
    path: str = "greet",
    args: object = None,
    *,
    id: UUID | None = None,  # noqa: A002 - the word for it everywhere
    due: datetime | None = None,
) -> NewJob:
    """A function job as `enqueue_many` takes it."""
    encoded = msgspec.json.encode({} if args is None else args)
    return NewJob(id=id or new_id(), kind="function", path=path, args=encoded, scheduled_for=due)


async def happens(event: threading.Event) -> None:
    """Return when the event is set by another thread; fails the test when it never is."""
    assert await anyio.to_thread.run_sync(event.wait, PATIENCE_S)


async def until(condition: Callable[[], Awaitable[object]]) -> None:
    """Wait for a fact that only looking can find; fails the test when it does not come."""
    with anyio.fail_after(PATIENCE_S):
        while not await condition():  # noqa: ASYNC110 - the fact is in the database
            await anyio.sleep(0.01)


async def somebody_waits(url: str) -> None:
    """Return when a client listens for the ends of jobs: it does so from its first wait on."""
    await _asked(url, 'LISTEN "trioworker_done"')


async def somebody_looks(url: str) -> None:
    """Return when a client has looked for those that it waits for.

    Where its pool is one connection, all waits that began before have had their own first look.
    """
    await _asked(url, "-- name: ended_jobs")


async def _asked(url: str, query: str) -> None:
    async def found() -> object:
        return ask(
            url,
            "select from pg_stat_activity where datname = current_database()"
            " and application_name like 'trioworker %%' and position(%s in query) > 0",
            query,
        )

    await until(found)


class Held:
    """An app whose jobs tell when they begin, and of which `hold` goes on when it may.

    A thread cannot be interrupted, so a job under `hold` must be let go before its worker stops.
    """

    def __init__(self) -> None:
        self.app = App()
        self.begun = threading.Event()
        self.go = threading.Event()
        self.app.job(name="greet")(self._greet)
        self.app.job(name="fail")(self._fail)
        self.app.job(name="hold")(self._hold)
        self.app.job(name="hang")(self._hang)

    async def _greet(self, name: str = "world") -> str:
        print("greeting", name)  # noqa: T201 - it becomes the job's log
        return f"Hello, {name}!"

    async def _fail(self, why: str) -> None:
        raise ValueError(why)

    def _hold(self) -> str:
        self.begun.set()
        self.go.wait(PATIENCE_S)
        return "let go"

    async def _hang(self) -> None:
        self.begun.set()
        await trio.sleep_forever()


@contextmanager
def beside(context: AbstractAsyncContextManager[T]) -> Iterator[T]:
    """What `context` gives, kept open by a Trio of its own in a thread."""
    up: Future[tuple[T, Callable[[], None]]] = Future()

    async def hold() -> None:
        leave, token = trio.Event(), trio.lowlevel.current_trio_token()
        try:
            async with context as value:
                up.set_result((value, lambda: token.run_sync_soon(leave.set)))
                await leave.wait()
        except BaseException as error:
            if not up.done():
                up.set_exception(error)
            raise

    with ThreadPoolExecutor(1) as pool:
        over = pool.submit(trio.run, hold)
        value, leave = up.result(PATIENCE_S)
        try:
            yield value
        finally:
            with suppress(trio.RunFinishedError):
                leave()
            over.result(PATIENCE_S)


def working(url: str, app: App, **settings: object) -> AbstractContextManager[None]:
    """A real worker that serves `app`, for as long as the context lasts."""
    return beside(_worker(url, app, settings))


@asynccontextmanager
async def _worker(url: str, app: App, settings: dict[str, object]) -> AsyncIterator[None]:
    stop, started, rng = Stop(), trio.Event(), random.Random(1)

    def emit(event: Event) -> None:
        if isinstance(event, WorkerStarted):
            started.set()

    defaults: dict[str, object] = {
        "name": "test", "host": "here", "pid": 1, "mode": Mode.AGENT_BATCH,
        "tags": unranked("default"),
        "sizes": sizes_for(Mode.AGENT_BATCH, pull=100, commit=100), "concurrency": 100,
        "grace_s": 0.0,
    }  # fmt: skip
    runners = build_runners(app, scripts_dir=Path(), rng=rng)
    async with (
        open_database(url, WORKER_LANES, emit=discard) as database,
        open_runners(runners),
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(
            partial(
                work,
                store=PostgresStore(database, now_s=trio.current_time),
                runners=runners,
                config=WorkerConfig(**(defaults | settings)),  # type: ignore[arg-type]  # checked where used
                ports=Ports(new_id, rng),
                stop=stop,
                emit=emit,
            )
        )
        await started.wait()
        yield
        stop.ask()


@contextmanager
def own_server() -> Iterator[PostgresServer]:
    """A server of the test's own, started and with our schema."""
    with beside(private_server()) as server, ThreadPoolExecutor(1) as pool:
        pool.submit(trio.run, _migrate, server.url).result()
        yield server


async def restart(server: PostgresServer) -> None:
    """Stop it, which cuts off who is connected, and start it again."""
    await anyio.to_thread.run_sync(lambda: trio.run(server.stop))
    await anyio.to_thread.run_sync(lambda: trio.run(server.start))


async def _migrate(url: str) -> None:
    async with open_database(url, (Lane(ADMIN),), emit=discard) as database:
        await migrate(database, DEFAULT_SCHEMA)
