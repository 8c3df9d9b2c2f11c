"""A PostgreSQL that can be taken down in every way that a scenario asks for."""

import os
import signal
from typing import Final

import psycopg
from psycopg.sql import SQL, Identifier, Literal

from sim.real import audit
from tests.database_fixtures import PostgresServer
from trioworker.events import discard
from trioworker.store.postgres.database import Lane, open_database
from trioworker.store.postgres.embedded_programs import server_user
from trioworker.store.postgres.migrate import ADMIN, migrate
from trioworker.store.postgres.statements import DEFAULT_SCHEMA

SETTINGS: Final = {
    "track_commit_timestamp": "on",  # the order of the commits
    "wal_writer_delay": "10s",  # what does not wait for the disk is lost in a crash
    "autovacuum": "off",  # nobody else writes
}
CROWD: Final = "crowd"
"""A user who always finds too many connections."""


class RealServer:
    """A server for one run of the tests, with one database: our schema, under watch."""

    def __init__(self) -> None:
        self._server = PostgresServer()

    async def prepare(self) -> None:
        """Start it for the first time."""
        await self._server.start()
        with psycopg.connect(self._server.url, autocommit=True) as admin:
            for name, value in SETTINGS.items():
                admin.execute(
                    SQL("alter system set {} = {}").format(Identifier(name), Literal(value))
                )
            admin.execute(SQL("create role {} login connection limit 0").format(Identifier(CROWD)))
        await self.restart()
        async with open_database(self._server.url, (Lane(ADMIN),), emit=discard) as database:
            await migrate(database, DEFAULT_SCHEMA)
        audit.install(self._server.url)

    def empty_database(self) -> str:
        """The address of the database, which nobody uses any more and which is empty again."""
        audit.clear(self._server.url)
        return self._server.url

    async def restart(self) -> None:
        """Stop and start it; afterwards its WAL writer has just been round."""
        await self.stop()
        await self.start()

    async def stop(self, *, crash: bool = False) -> None:
        """Take it down, cleanly or without any care; every connection ends."""
        await self._server.stop(signal.SIGQUIT if crash else signal.SIGINT)

    async def start(self) -> None:
        """Start it; returns when it takes connections."""
        await self._server.start()

    async def start_as_standby(self) -> None:
        """Start it as a standby that has lost its primary: it takes no writes."""
        cluster = self._server.folder.cluster
        standby = cluster / "standby.signal"
        standby.touch()
        if user := server_user(cluster):
            os.chown(standby, *user)
        await self.start()

    def promote(self) -> None:
        """A standby becomes the primary; returns when it takes writes."""
        with psycopg.connect(self._server.url, autocommit=True) as admin:
            admin.execute("select pg_promote()")

    async def remove(self) -> None:
        """Stop it and delete its data."""
        await self.stop(crash=True)
        self._server.remove()
