"""Real PostgreSQL servers and databases for tests.

Rule of this file: a test that stops, kills or slows its server takes a `private_server`; all others
share one server for the whole run and get a database of their own in it.
"""

import itertools
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import psycopg
import pytest
import trio
from platformdirs import site_cache_path
from psycopg.sql import SQL, Identifier

from trioworker.events import discard
from trioworker.store.postgres.database import Lane, open_database
from trioworker.store.postgres.embedded import APP
from trioworker.store.postgres.embedded_cluster import Cluster, stop_server
from trioworker.store.postgres.embedded_folder import DATABASE, DataFolder
from trioworker.store.postgres.embedded_programs import (
    BUNDLED,
    bundled_programs,
    reachable_programs,
    server_user,
)
from trioworker.store.postgres.migrate import ADMIN, migrate
from trioworker.store.postgres.statements import DEFAULT_SCHEMA

DEBIAN: Final = Path("/usr/lib/postgresql")
NEWEST: Final = max(BUNDLED)
# What fsync guards against is a power failure; no test makes one.
FAST: Final = ("fsync=off", "full_page_writes=off")
MEMORY: Final = Path("/dev/shm")  # noqa: S108 - `mkdtemp` makes what is in it
MEMORY_MIN_BYTES: Final = 8 << 30
"""Several servers live at once, one of them with a million jobs."""

_numbers: Final = itertools.count(1)


def available_versions() -> tuple[int, ...]:
    """The major versions of PostgreSQL that tests can start here, Debian's own among them."""
    debian = {int(p.parent.parent.name) for p in DEBIAN.glob("*/bin/postgres")}
    return tuple(sorted(debian | set(BUNDLED)))


class PostgresServer:
    """A server of its own in a short-named folder, which goes with it."""

    def __init__(self, version: int = NEWEST) -> None:
        self.version = version
        self.folder = DataFolder.at(Path(tempfile.mkdtemp(prefix="tw-", dir=_place())))
        self.folder.make()

    @property
    def url(self) -> str:
        """The address of the database `trioworker`, which is empty at first."""
        return self.folder.url

    @property
    def postmaster_pid(self) -> int:
        """The server's first process; it must be running."""
        postmaster = self.folder.postmaster()
        assert postmaster, "the server does not run"
        return postmaster.pid

    def url_of(self, database: str) -> str:
        """The address of another database of this server."""
        return self.url.replace(f"/{DATABASE}?", f"/{database}?")

    async def start(self) -> None:
        """Start it; returns when it takes connections."""
        installed = (
            bundled_programs(self.version)
            if self.version in BUNDLED
            else DEBIAN / str(self.version) / "bin"
        )
        user = server_user(self.folder.cluster)
        programs = await reachable_programs(installed, user, site_cache_path(APP))
        await Cluster(self.folder, programs, user, FAST).ensure_running()

    async def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it: SIGTERM waits for its clients, SIGINT cuts them off, SIGQUIT is like a crash."""
        await stop_server(self.folder, how)

    def remove(self) -> None:
        """Delete its data."""
        shutil.rmtree(self.folder.path)


def _place() -> Path | None:
    """In memory, if there is plenty: there a database is copied in a tenth of the time.

    None is wherever temporary files go.
    """
    roomy = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= MEMORY_MIN_BYTES
    return MEMORY if roomy else None


@asynccontextmanager
async def private_server(version: int = NEWEST) -> AsyncIterator[PostgresServer]:
    """A server for one test, which may do with it what it likes."""
    server = PostgresServer(version)
    try:
        await server.start()
        yield server
    finally:
        with trio.CancelScope(shield=True):
            await server.stop(signal.SIGQUIT)
        server.remove()


@pytest.fixture(scope="session")
def postgres_server_of() -> Iterator[Callable[[int], PostgresServer]]:
    """`postgres_server_of(16)`: the run's shared server of that version, started when first asked.

    Works in fixtures and inside tests, async ones too.
    """
    servers: dict[int, PostgresServer] = {}
    with ExitStack() as stack:

        def server_of(version: int) -> PostgresServer:
            if version not in servers:
                servers[version] = stack.enter_context(_shared_server(version))
            return servers[version]

        yield server_of


@pytest.fixture(scope="session")
def postgres_server(postgres_server_of: Callable[[int], PostgresServer]) -> PostgresServer:
    """The server that the tests of this run share."""
    return postgres_server_of(NEWEST)


@pytest.fixture
def empty_database_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The address of a fresh and empty database."""
    with fresh_database(postgres_server) as url:
        yield url


@pytest.fixture(scope="session")
def migrated_template_of(
    postgres_server_of: Callable[[int], PostgresServer],
) -> Iterator[Callable[[int], str]]:
    """`migrated_template_of(16)`: a database with our schema on that version's shared server.

    For `fresh_database(…, template=…)`: a copy takes less than the migrations.
    """
    templates: dict[int, str] = {}
    with ExitStack() as stack:

        def template_of(version: int) -> str:
            if version not in templates:
                server = postgres_server_of(version)
                url = stack.enter_context(fresh_database(server))
                _run_blocking(_migrate, url)
                templates[version] = database_name(url)
            return templates[version]

        yield template_of


@pytest.fixture
def database_url(
    postgres_server: PostgresServer, migrated_template_of: Callable[[int], str]
) -> Iterator[str]:
    """The address of a fresh database with our schema in it."""
    with fresh_database(postgres_server, migrated_template_of(NEWEST)) as url:
        yield url


def database_name(url: str) -> str:
    """The name of the database at one of our test servers' addresses."""
    return urlsplit(url).path.removeprefix("/")


@contextmanager
def fresh_database(server: PostgresServer, template: str = "template1") -> Iterator[str]:
    """The address of a new database, copied from `template`, which nobody may be connected to."""
    name = f"test_{next(_numbers)}"
    with psycopg.connect(server.url, autocommit=True) as admin:
        # To copy the files takes a quarter of what it takes to log each of their pages.
        create = SQL("create database {} template {} strategy file_copy")
        admin.execute(create.format(Identifier(name), Identifier(template)))
        try:
            yield server.url_of(name)
        finally:
            admin.execute(SQL("drop database {} with (force)").format(Identifier(name)))


async def _migrate(url: str) -> None:
    async with open_database(url, (Lane(ADMIN),), emit=discard) as database:
        await migrate(database, DEFAULT_SCHEMA)


@contextmanager
def _shared_server(version: int) -> Iterator[PostgresServer]:
    server = PostgresServer(version)
    try:
        _run_blocking(server.start)
        yield server
    finally:
        _run_blocking(server.stop, signal.SIGQUIT)
        server.remove()


def _run_blocking(function: Callable[..., Awaitable[None]], *arguments: object) -> None:
    """Run it in a thread, because an async test that asks already is inside `trio.run`."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(trio.run, function, *arguments).result()
