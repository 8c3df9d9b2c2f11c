"""What the tests of the server share."""

from collections.abc import Callable, Iterator

import pytest

from tests.client.harness import empty
from tests.database_fixtures import NEWEST, PostgresServer, fresh_database


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
