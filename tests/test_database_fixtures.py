"""The fixtures that other tests stand on do what they say."""

import os
import signal
from collections.abc import Callable

import psycopg
import pytest

from tests.database_fixtures import (
    PostgresServer,
    available_versions,
    fresh_database,
    private_server,
)


def test_an_empty_database_is_empty_and_alone(
    postgres_server: PostgresServer, empty_database_url: str
) -> None:
    """What is done in one test's database is not in another's, and is gone with it."""
    with psycopg.connect(empty_database_url) as connection:
        connection.execute("create table mine ()")
    with (
        fresh_database(postgres_server) as other,
        psycopg.connect(other) as connection,
    ):
        found = connection.execute("select from pg_tables where tablename = 'mine'").fetchall()
    assert found == []
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(other)


@pytest.mark.parametrize("version", available_versions())
async def test_each_version_can_be_had(
    version: int, postgres_server_of: Callable[[int], PostgresServer]
) -> None:
    """Servers of all versions that this machine has are started when asked for, inside tests."""
    server = postgres_server_of(version)
    with psycopg.connect(server.url) as connection:
        assert connection.info.server_version // 10_000 == version
    assert postgres_server_of(version) is server


async def test_a_private_server_can_be_stopped_and_started() -> None:
    """Whichever way it ends, the same data are there at the same url afterwards."""
    async with private_server() as server:
        with psycopg.connect(server.url) as connection:
            connection.execute("create table kept ()")
        for how in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            os.kill(server.postmaster_pid, how)
            await server.stop(how)
            with pytest.raises(psycopg.OperationalError):
                psycopg.connect(server.url)
            await server.start()
            with psycopg.connect(server.url) as connection:
                connection.execute("select from kept")
