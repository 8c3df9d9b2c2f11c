"""What the tests of the store share."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from functools import partial

import pytest

from tests.database_fixtures import NEWEST, PostgresServer, fresh_database
from tests.store.postgres.backlog import Depth, queues
from tests.store.postgres.plans import worker_settings
from tests.store.postgres.reuse import Databases
from tests.store.postgres.scene import Scene, open_scene


@pytest.fixture
def postgres_version(request: pytest.FixtureRequest) -> int:
    """The PostgreSQL of this test: the newest, unless it is marked `on_every_version`."""
    return getattr(request, "param", NEWEST)


@pytest.fixture
def bare_url(
    postgres_version: int, postgres_server_of: Callable[[int], PostgresServer]
) -> Iterator[str]:
    """The address of a fresh and empty database."""
    with fresh_database(postgres_server_of(postgres_version)) as url:
        yield url


@pytest.fixture(scope="session")
def databases_of(
    postgres_server_of: Callable[[int], PostgresServer],
    migrated_template_of: Callable[[int], str],
) -> Iterator[Callable[[int], Databases]]:
    """`databases_of(16)`: databases with our schema on that version's server, to be lent."""
    made: dict[int, Databases] = {}
    with ExitStack() as stack:

        def of_version(version: int) -> Databases:
            if version not in made:
                server, template = postgres_server_of(version), migrated_template_of(version)
                databases = Databases(partial(fresh_database, server, template))
                made[version] = stack.enter_context(closing(databases))
            return made[version]

        yield of_version


@pytest.fixture
def scene_url(postgres_version: int, databases_of: Callable[[int], Databases]) -> Iterator[str]:
    """The address of a database of this test's own with our schema in it and no rows."""
    with databases_of(postgres_version).lend() as url:
        yield url


@pytest.fixture
async def scene(scene_url: str) -> AsyncIterator[Scene]:
    """A queue of its own for each test."""
    async with open_scene(scene_url) as made:
        yield made


@pytest.fixture(scope="session")
def queue_of(
    postgres_server_of: Callable[[int], PostgresServer],
    migrated_template_of: Callable[[int], str],
) -> Iterator[Callable[[int, Depth], str]]:
    """`queue_of(18, LARGE)`: the address of a queue of that depth, for this whole run."""
    yield from queues(postgres_server_of, migrated_template_of)


@pytest.fixture(scope="session")
def settings(
    postgres_server: PostgresServer, migrated_template_of: Callable[[int], str]
) -> Iterator[Mapping[str, str]]:
    """The settings of a worker's connection."""
    with fresh_database(postgres_server, migrated_template_of(NEWEST)) as url:
        yield worker_settings(url)
