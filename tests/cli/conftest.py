"""What the tests of the command line share."""

from collections.abc import Callable, Iterator
from functools import partial

import pytest

from tests.cli.commands import Run, run_here
from tests.database_fixtures import NEWEST, PostgresServer, fresh_database


@pytest.fixture
def here(database_url: str) -> Run:
    """`here("jobs", "list")` runs a command in this process, on a database of the test's own."""
    return partial(run_here, url=database_url)


@pytest.fixture(scope="module")
def module_url(
    postgres_server: PostgresServer, migrated_template_of: Callable[[int], str]
) -> Iterator[str]:
    """The address of a database that the tests of a file share."""
    with fresh_database(postgres_server, migrated_template_of(NEWEST)) as url:
        yield url
