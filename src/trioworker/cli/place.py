"""Where a command finds its jobs: the database of DATABASE_URL, or the embedded one.

Rule of this file: the embedded database is ours and is brought up to date without a word; to change
somebody else's takes a decision, which is `trioworker migrate`.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from trioworker.client import Client, open_client
from trioworker.events import discard
from trioworker.settings import Settings
from trioworker.store.postgres.database import Lane, PostgresDatabase, open_database
from trioworker.store.postgres.embedded import open_embedded
from trioworker.store.postgres.embedded_secret import embedded_secret
from trioworker.store.postgres.migrate import ADMIN, migrate

ADMIN_LANES: Final = (Lane(ADMIN),)


@asynccontextmanager
async def open_server(settings: Settings) -> AsyncIterator[str]:
    """The address of the database, started when it is the embedded one. Its schema may be old.

    Raises `UsageError` or `StoreError` when there is none.
    """
    if settings.database_url is not None:
        yield settings.database_url
        return
    async with open_embedded(settings.data_dir) as server:
        yield server.url


@asynccontextmanager
async def open_place(settings: Settings) -> AsyncIterator[str]:
    """The same, and the embedded one's schema is up to date. Another's is for its user to check."""
    async with open_server(settings) as url:
        if settings.database_url is None:
            async with open_admin(url, settings) as database:
                await migrate(database, settings.schema)
        yield url


@asynccontextmanager
async def open_admin(url: str, settings: Settings) -> AsyncIterator[PostgresDatabase]:
    """The database for a few statements about its schema."""
    async with open_database(
        url,
        ADMIN_LANES,
        emit=discard,
        schema=settings.schema,
        command_timeout_s=settings.command_timeout_s,
    ) as database:
        yield database


@asynccontextmanager
async def open_jobs(settings: Settings) -> AsyncIterator[Client]:
    """A client of the database. Raises `SchemaMismatch` as well."""
    async with (
        open_place(settings) as url,
        open_client(
            url,
            schema=settings.schema,
            pool_size=1,
            command_timeout_s=settings.command_timeout_s,
        ) as client,
    ):
        yield client


async def agent_secret(settings: Settings) -> str | None:
    """What signs the tokens of agents; None when nobody has said it, and there can be no agents."""
    if settings.agent_secret is not None or settings.database_url is not None:
        return settings.agent_secret
    return await embedded_secret(settings.data_dir)
