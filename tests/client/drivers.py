"""A user's own connection, with one driver and with another.

Rule of this file: nothing of trioworker is in it. The programs run on asyncio, which both drivers
know.
"""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import wraps
from typing import Any, Protocol, TypeAlias, cast

import asyncpg
import psycopg
import pytest

Row: TypeAlias = tuple[Any, ...]


class ServerSaidNo(Exception):
    """The driver's error, in the server's words."""


class Caller(Protocol):
    """One connection of a user's program. Parameters are written $1, $2 and so on."""

    async def ask(self, text: str, *arguments: object) -> list[Row]:
        """Run one statement; raises `ServerSaidNo`."""
        ...

    def transaction(self) -> AbstractAsyncContextManager[object]:
        """Committed at its end, rolled back when an exception leaves it."""
        ...


class PsycopgCaller:
    """With psycopg."""

    def __init__(self, connection: psycopg.AsyncConnection) -> None:
        self._connection = connection

    @classmethod
    @asynccontextmanager
    async def connect(cls, url: str) -> AsyncIterator[Caller]:
        """A connection for as long as the context lasts."""
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            yield cls(connection)

    async def ask(self, text: str, *arguments: object) -> list[Row]:
        """See `Caller.ask`."""
        try:
            async with psycopg.AsyncRawCursor(self._connection) as cursor:
                await cursor.execute(cast("Any", text), arguments)
                return await cursor.fetchall() if cursor.description else []
        except psycopg.Error as error:
            raise ServerSaidNo(str(error)) from error

    def transaction(self) -> AbstractAsyncContextManager[object]:
        """See `Caller.transaction`."""
        return self._connection.transaction()


class AsyncpgCaller:
    """With asyncpg."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        self._connection = connection

    @classmethod
    @asynccontextmanager
    async def connect(cls, url: str) -> AsyncIterator[Caller]:
        """A connection for as long as the context lasts."""
        connection = await asyncpg.connect(url)
        try:
            yield cls(connection)
        finally:
            await connection.close()

    async def ask(self, text: str, *arguments: object) -> list[Row]:
        """See `Caller.ask`."""
        try:
            return [tuple(row) for row in await self._connection.fetch(text, *arguments)]
        except asyncpg.PostgresError as error:
            raise ServerSaidNo(str(error)) from error

    def transaction(self) -> AbstractAsyncContextManager[object]:
        """See `Caller.transaction`."""
        return cast("AbstractAsyncContextManager[object]", self._connection.transaction())


def with_both_drivers(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """The test, whose first parameter is a connection with psycopg, then with asyncpg."""

    @wraps(test)
    def driven(driver: type[PsycopgCaller | AsyncpgCaller], **fixtures: Any) -> None:  # noqa: ANN401 - any fixtures
        async def program() -> None:
            async with driver.connect(fixtures["database_url"]) as caller:
                await test(caller, **fixtures)

        asyncio.run(program())

    _, *parameters = inspect.signature(test).parameters.values()
    driver = inspect.Parameter("driver", inspect.Parameter.KEYWORD_ONLY)
    cast("Any", driven).__signature__ = inspect.Signature([*parameters, driver])
    drivers = pytest.mark.parametrize(
        "driver", [PsycopgCaller, AsyncpgCaller], ids=["psycopg", "asyncpg"]
    )
    return cast("Callable[..., None]", drivers(driven))
