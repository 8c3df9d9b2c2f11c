"""Transactions and named statements on PostgreSQL, for callers on Trio and on asyncio alike.

Rules of this file:

* It, `connecting.py` and `translation.py` alone import the driver; no type of its, and no error,
  leaves them.
* A statement is named, or it is a user's own: then its text is run as it is.
* One crossing from Trio into the asyncio loop per transaction, not per statement: a crossing
  costs as much as a round trip. That is why a transaction is a function of the caller's that is
  run on the far side, and may await nothing but its `Transaction`.
* Connections stand in lanes (pull, commit, control, …). A lane is a few connections with the
  same settings, so that a slow pull never delays a heartbeat.
* A connection on which anything was cut short is thrown away, never reasoned about; the server is
  told to stop what still runs there, or it would hold its locks and its place for as long as it
  likes.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, NoReturn, Protocol, TypeAlias, TypeVar, cast

import anyio
import asyncpg
import msgspec
import sniffio
import trio_asyncio

from trioworker.errors import ConnectionLost, ServerUnavailable, StoreError
from trioworker.events import Emit, StatementRun
from trioworker.store.postgres.connecting import Connecting, Connection, hang_up
from trioworker.store.postgres.sqlstates import is_usable_after, of_user
from trioworker.store.postgres.statements import DEFAULT_SCHEMA, Statement, load_statements
from trioworker.store.postgres.translation import translate, translated

T = TypeVar("T")
Row: TypeAlias = Sequence[Any]

LISTEN: Final = "listen"
LISTEN_PING_S: Final = 30.0
USER_STATEMENT: Final = "user_statement"
"""What a statement of a user's is called, in place of a name of its own."""


class Lane(msgspec.Struct, frozen=True):
    """A few connections that are alike.

    `durable` False lets COMMIT return before the WAL is on disk: right for a pull (a lost claim
    is pulled again), never for a result.
    """

    name: str
    size: int = 1
    durable: bool = True


class Transaction(Protocol):
    """What a transaction's body may await."""

    async def run(self, name: str, *arguments: object, jobs: int = 0) -> Sequence[Row]:
        """Run the statement `name`; `jobs` is how many jobs it may claim or store at most."""
        ...

    async def script(self, sql: str) -> None:
        """Run a migration: several statements, no arguments, no rows."""
        ...

    async def user_statement(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        """Run one statement of a user's for each of `rows`; nobody hears what it answers."""
        ...


class Database(Protocol):
    """The seam that the simulator replaces."""

    async def run(self, lane: str, name: str, *arguments: object, jobs: int = 0) -> Sequence[Row]:
        """Run one statement as its own transaction. Raises `StoreError`."""
        ...

    async def transact(self, lane: str, body: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run `body` in one transaction, committed when it returns. Raises `StoreError`.

        `body` may await nothing but its transaction.
        """
        ...

    async def listen(self, channels: Sequence[str], heard: Callable[[str, str], None]) -> NoReturn:
        """Call `heard(channel, payload)` for each notification until the line is lost.

        Calls it once with an empty channel when listening has begun, because whatever was
        notified before was missed. Raises `StoreError`.
        """
        ...


class PostgresDatabase:
    """A `Database` on a real server. Made by `open_database`, usable inside its context."""

    def __init__(
        self,
        url: str,
        lanes: Sequence[Lane],
        *,
        listen_url: str | None = None,
        schema: str,
        command_timeout_s: float,
        emit: Emit,
    ) -> None:
        self._statements = load_statements(schema)
        self._connecting = Connecting(url, command_timeout_s=command_timeout_s)
        self._listening = self._connecting
        if listen_url is not None:
            self._listening = Connecting(listen_url, command_timeout_s=command_timeout_s)
        self._emit = emit
        self._lanes = {lane.name: _OpenLane(lane) for lane in lanes}
        self._loop: trio_asyncio.TrioEventLoop | None = None
        self._goodbyes: set[asyncio.Task[None]] = set()

    async def run(self, lane: str, name: str, *arguments: object, jobs: int = 0) -> Sequence[Row]:
        """See `Database.run`."""
        return await self.transact(lane, lambda tx: tx.run(name, *arguments, jobs=jobs), one=True)

    async def transact(
        self, lane: str, body: Callable[[Transaction], Awaitable[T]], *, one: bool = False
    ) -> T:
        """See `Database.transact`; `one` says that the body is a single statement."""
        open_lane = self._lanes[lane]
        async with open_lane.slots:
            return await self._cross(self._transaction(open_lane, body, one=one))

    async def listen(self, channels: Sequence[str], heard: Callable[[str, str], None]) -> NoReturn:
        """See `Database.listen`."""
        await self._cross(self._listen(channels, heard))
        raise AssertionError  # _listen ends by raising

    async def close(self) -> None:
        """Say goodbye on every connection; hang up on a server that does not listen."""
        with anyio.CancelScope(shield=True):
            await self._cross(self._close())

    async def _close(self) -> None:
        for lane in self._lanes.values():
            while lane.idle:
                self._let_go(lane.idle.pop())
        if self._goodbyes:
            await asyncio.wait(self._goodbyes)

    def _let_go(self, connection: Connection) -> None:
        """Hang up, in a task of its own: whoever was cancelled is not kept waiting for it."""
        goodbye = asyncio.get_running_loop().create_task(hang_up(connection))
        self._goodbyes.add(goodbye)
        goodbye.add_done_callback(self._goodbyes.discard)

    async def _cross(self, far_side: Coroutine[Any, Any, T]) -> T:
        if self._loop is None:
            return await far_side
        result: T = await self._loop.run_aio_coroutine(far_side)
        return result

    async def _transaction(
        self, lane: "_OpenLane", body: Callable[[Transaction], Awaitable[T]], *, one: bool
    ) -> T:
        connection = await self._connection(lane)
        tx = _Transaction(connection, self._statements, lane.lane.name, self._emit)
        try:
            with translated():
                if one and not self._connecting.pooled:
                    result = await body(tx)
                else:
                    begin = self._connecting.begin(durable=lane.lane.durable)
                    result = await _committed(connection, begin, tx, body)
        except StoreError as error:
            if is_usable_after(error):
                lane.put_back(connection)
            else:
                self._let_go(connection)
            raise
        except BaseException:
            self._let_go(connection)
            raise
        lane.put_back(connection)
        return result

    async def _connection(self, lane: "_OpenLane") -> Connection:
        while lane.idle:
            connection = lane.idle.pop()
            if not connection.is_closed():
                return connection
        return await self._connect(lane.lane.name, durable=lane.lane.durable)

    async def _connect(self, name: str, *, durable: bool) -> Connection:
        connecting = self._listening if name == LISTEN else self._connecting
        return await connecting.connect(name, durable=durable)

    async def _listen(self, channels: Sequence[str], heard: Callable[[str, str], None]) -> None:
        connection = await self._connect(LISTEN, durable=True)
        if self._listening.pooled:
            await hang_up(connection)
            raise ServerUnavailable("nobody can listen through a pooler; give a direct address")
        lost = asyncio.Event()
        try:
            with translated():
                connection.add_termination_listener(lambda _: lost.set())
                for channel in channels:
                    await connection.add_listener(
                        channel, lambda _c, _pid, channel, payload: heard(channel, payload)
                    )
                heard("", "")
                while not lost.is_set():
                    with suppress(TimeoutError):
                        await asyncio.wait_for(lost.wait(), LISTEN_PING_S)
                    if not lost.is_set():
                        await connection.fetch(self._statements["ping"].sql)
            raise ConnectionLost("the connection that listens was lost")
        finally:
            connection.terminate()


class _OpenLane:
    """A lane's idle connections, and the right to use one."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.slots = anyio.Semaphore(lane.size)
        self.idle: list[Connection] = []

    def put_back(self, connection: Connection) -> None:
        if connection.is_closed():
            return
        self.idle.append(connection)


class _Transaction:
    """The far side of a transaction: runs statements on one connection."""

    def __init__(
        self, connection: Connection, statements: Mapping[str, Statement], lane: str, emit: Emit
    ) -> None:
        self._connection = connection
        self._statements = statements
        self._lane = lane
        self._emit = emit

    async def run(self, name: str, *arguments: object, jobs: int = 0) -> Sequence[Row]:
        statement = self._statements[name]
        rows = cast("Sequence[Row]", await self._connection.fetch(statement.sql, *arguments))
        self._emit(StatementRun(name=name, lane=self._lane, jobs=jobs, rows=len(rows)))
        assert statement.rows != "one" or len(rows) == 1, f"{name} gave {len(rows)} rows, not one"
        return rows if statement.rows != "none" else ()

    async def script(self, sql: str) -> None:
        await self._connection.execute(sql)

    async def user_statement(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        connection = self._connection
        try:
            # Prepared either way: then the text can be no more than one statement.
            if len(rows) == 1:
                await connection.fetch(sql, *rows[0])
            else:
                await connection.executemany(sql, rows)
        except Exception as error:
            ours = translate(error, connecting=False)
            raise of_user(ours, alive=not connection.is_closed()) from error
        self._emit(StatementRun(name=USER_STATEMENT, lane=self._lane, jobs=0, rows=0))


async def _committed(
    connection: Connection,
    begin: str,
    tx: Transaction,
    body: Callable[[Transaction], Awaitable[T]],
) -> T:
    """Run `body` between `begin` and COMMIT, and roll back when it raises.

    A statement that was cut short is not rolled back from: that would wait until it has ended.
    """
    await connection.execute(begin)
    try:
        result = await body(tx)
    except Exception as error:
        if _was_cut_short(error):
            raise
        try:
            await connection.execute("rollback")
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            connection.terminate()  # what it complains about is not what went wrong
        raise
    await connection.execute("commit")
    return result


def _was_cut_short(error: Exception) -> bool:
    silent = isinstance(error, StoreError) and error.sqlstate is None
    return silent or isinstance(error, TimeoutError)


@asynccontextmanager
async def open_database(
    url: str,
    lanes: Sequence[Lane],
    *,
    emit: Emit,
    schema: str = DEFAULT_SCHEMA,
    command_timeout_s: float = 30.0,
    listen_url: str | None = None,
) -> AsyncIterator[PostgresDatabase]:
    """A database for as long as the context lasts; connections are made when first needed.

    `listen_url` is where to listen when `url` is a pooler's, through which nobody can.

    On Trio it brings its own asyncio loop along, on asyncio it uses the running one.
    """
    database = PostgresDatabase(
        url,
        lanes,
        listen_url=listen_url,
        schema=schema,
        command_timeout_s=command_timeout_s,
        emit=emit,
    )
    if sniffio.current_async_library() != "trio":
        try:
            yield database
        finally:
            await database.close()
        return
    ended_by: Exception | None = None
    async with trio_asyncio.open_loop() as loop:
        database._loop = loop  # noqa: SLF001 - the context is part of the class
        try:
            yield database
        except Exception as error:  # noqa: BLE001 - raised again below
            # Through the loop's nurseries it would reach the caller inside exception groups.
            ended_by = error
        finally:
            await database.close()
    if ended_by is not None:
        raise ended_by
