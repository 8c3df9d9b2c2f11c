"""What the tests of the server share."""

from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from tests.client.harness import empty
from tests.database_fixtures import NEWEST, PostgresServer, fresh_database
from tests.server.agents import Line, Server, open_line, open_server
from tests.worker.harness import Rig


@pytest.fixture(scope="package")
def used_database_url(
    postgres_server: PostgresServer, migrated_template_of: Callable[[int], str]
) -> Iterator[str]:
    """The address of a database with our schema and whatever was left in it."""
    with fresh_database(postgres_server, migrated_template_of(NEWEST)) as url:
        yield url


@pytest.fixture
def database_url(used_database_url: str) -> str:
    """The address of a queue without jobs; to empty one takes less than to make one."""
    empty(used_database_url)
    return used_database_url


@pytest.fixture
async def server(database_url: str) -> AsyncIterator[Server]:
    """A server for agents of a fresh queue."""
    async with open_server(database_url) as server:
        yield server


@pytest.fixture
async def line(server: Server) -> AsyncIterator[Line]:
    """A line to it."""
    async with open_line(server) as line:
        yield line


@pytest.fixture
def rig(server: Server, database_url: str) -> Rig:
    """Its queue, and workers that are given their store."""
    return Rig(database_url, server.database, [])
