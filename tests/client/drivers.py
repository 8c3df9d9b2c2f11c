"""A user's own connection, with one driver and with another.

Rule of this file: nothing of trioworker is in it. The programs run on asyncio; drivers that know
nothing of it are called as they are.
"""

import asyncio
import inspect
import re
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import wraps
from typing import Any, Final, Protocol, TypeAlias, cast

import asyncpg
import psycopg
import pytest
import sqlalchemy

Row: TypeAlias = tuple[Any, ...]

PLACE: Final = re.compile(r"\$(\d+)")
"""Where a parameter stands."""


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


class SyncPsycopgCaller:
    """With psycopg, in a program that waits for the server and does nothing else."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    @classmethod
    @asynccontextmanager
    async def connect(cls, url: str) -> AsyncIterator[Caller]:
        """A connection for as long as the context lasts."""
        with psycopg.connect(url, autocommit=True) as connection:
            yield cls(connection)

    async def ask(self, text: str, *arguments: object) -> list[Row]:
        """See `Caller.ask`."""
        try:
            with psycopg.RawCursor(self._connection) as cursor:
                cursor.execute(cast("Any", text), arguments)
                return cursor.fetchall() if cursor.description else []
        except psycopg.Error as error:
            raise ServerSaidNo(str(error)) from error

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[object]:
        """See `Caller.transaction`."""
        with self._connection.transaction() as transaction:
            yield transaction


class SqlalchemyCaller:
    """With the Core of SQLAlchemy, over psycopg."""

    def __init__(self, connection: sqlalchemy.Connection) -> None:
        self._connection = connection

    @classmethod
    @asynccontextmanager
    async def connect(cls, url: str) -> AsyncIterator[Caller]:
        """A connection for as long as the context lasts."""
        engine = sqlalchemy.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
        try:
            with engine.connect() as connection:
                yield cls(connection)
        finally:
            engine.dispose()

    async def ask(self, text: str, *arguments: object) -> list[Row]:
        """See `Caller.ask`; outside a transaction it is one of its own."""
        if not self._connection.in_transaction():
            with self._connection.begin():
                return await self.ask(text, *arguments)
        values = {f"p{number}": value for number, value in enumerate(arguments, start=1)}
        try:
            answer = self._connection.execute(sqlalchemy.text(PLACE.sub(r":p\1", text)), values)
            return [tuple(row) for row in answer] if answer.returns_rows else []
        except sqlalchemy.exc.DBAPIError as error:
            raise ServerSaidNo(str(error.orig)) from error

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[object]:
        """See `Caller.transaction`."""
        connection = self._connection
        inside = connection.in_transaction()
        with connection.begin_nested() if inside else connection.begin() as transaction:
            yield transaction


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


Driver: TypeAlias = type[AsyncpgCaller | PsycopgCaller | SyncPsycopgCaller | SqlalchemyCaller]
DRIVERS: Final[Mapping[str, Driver]] = {
    "asyncpg": AsyncpgCaller,
    "psycopg": PsycopgCaller,
    "sync psycopg": SyncPsycopgCaller,
    "sqlalchemy": SqlalchemyCaller,
}
Test: TypeAlias = Callable[..., Coroutine[Any, Any, None]]


def with_both_drivers(test: Test) -> Callable[..., None]:
    """The test, whose first parameter is a connection with psycopg, then with asyncpg."""
    return _with("psycopg", "asyncpg")(test)


def with_every_driver(test: Test) -> Callable[..., None]:
    """The same with each of `DRIVERS`: for what a user's transaction is about."""
    return _with(*DRIVERS)(test)


def _with(*names: str) -> Callable[[Test], Callable[..., None]]:
    def decorate(test: Test) -> Callable[..., None]:
        @wraps(test)
        def driven(driver: str, **fixtures: Any) -> None:  # noqa: ANN401 - any fixtures
            async def program() -> None:
                async with DRIVERS[driver].connect(fixtures["database_url"]) as caller:
                    await test(caller, **fixtures)

            asyncio.run(program())

        _, *parameters = inspect.signature(test).parameters.values()
        driver = inspect.Parameter("driver", inspect.Parameter.KEYWORD_ONLY)
        cast("Any", driven).__signature__ = inspect.Signature([*parameters, driver])
        return cast("Callable[..., None]", pytest.mark.parametrize("driver", names)(driven))

    return decorate
