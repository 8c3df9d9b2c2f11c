"""Transactions and named statements on PostgreSQL, for callers on Trio and on asyncio alike.

Rules of this file:

* It alone imports asyncpg and trio_asyncio; no driver type and no driver error leaves it.
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

from trioworker.errors import (
    ConnectionLost,
    Contention,
    Refused,
    SettingsError,
    StatementTimeout,
    StoreError,
    UnknownStoreError,
)
from trioworker.events import Emit, StatementRun
from trioworker.store.postgres.sqlstates import NEVER_SENT, error_class, is_usable_after, of_user
from trioworker.store.postgres.statements import DEFAULT_SCHEMA, Statement, load_statements

T = TypeVar("T")
Row: TypeAlias = Sequence[Any]
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

CONNECT_TIMEOUT_S: Final = 10.0
LISTEN_PING_S: Final = 30.0
GOODBYE_S: Final = 1.0
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
        self, url: str, lanes: Sequence[Lane], *, schema: str, command_timeout_s: float, emit: Emit
    ) -> None:
        self._url = url
        self._statements = load_statements(schema)
        self._timeout_s = command_timeout_s
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
        goodbye = asyncio.get_running_loop().create_task(_hang_up(connection))
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
            with _translated():
                result = await (body(tx) if one else _committed(connection, tx, body))
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
        with _translated(connecting=True):
            return await asyncpg.connect(
                self._url,
                timeout=CONNECT_TIMEOUT_S,
                command_timeout=self._timeout_s,
                server_settings={
                    "application_name": f"trioworker {name}",
                    "jit": "off",
                    # Our statements are shaped so that one plan fits all sizes; planning them
                    # anew for each execution would cost more than a batch of one.
                    "plan_cache_mode": "force_generic_plan",
                    # A plan made while a table was empty reads all of it, and goes on doing so
                    # when the table has grown: a burst after a quiet night took 150 ms a pull.
                    "enable_seqscan": "off",
                    "synchronous_commit": "on" if durable else "off",
                },
            )

    async def _listen(self, channels: Sequence[str], heard: Callable[[str, str], None]) -> None:
        connection = await self._connect("listen", durable=True)
        lost = asyncio.Event()
        try:
            with _translated():
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
    connection: Connection, tx: Transaction, body: Callable[[Transaction], Awaitable[T]]
) -> T:
    """Run `body` between BEGIN and COMMIT, and roll back when it raises.

    A statement that was cut short is not rolled back from: that would wait until it has ended.
    """
    transaction = connection.transaction()
    await transaction.start()
    try:
        result = await body(tx)
    except Exception as error:
        if _was_cut_short(error):
            raise
        try:
            await transaction.rollback()
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            connection.terminate()  # what it complains about is not what went wrong
        raise
    await transaction.commit()
    return result


def _was_cut_short(error: Exception) -> bool:
    silent = isinstance(error, StoreError) and error.sqlstate is None
    return silent or isinstance(error, TimeoutError)


async def _hang_up(connection: Connection) -> None:
    """Cancel what runs on the server and close the connection; gently for `GOODBYE_S`."""
    with suppress(StoreError), _translated():
        await connection.close(timeout=GOODBYE_S)
    connection.terminate()


class _translated:  # noqa: N801 - reads as a phrase: with _translated()
    """Turns what the driver raises into our errors, at the one place where it can be raised."""

    def __init__(self, *, connecting: bool = False) -> None:
        self._connecting = connecting

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _tb: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, StoreError):
            raise translate(error, connecting=self._connecting) from error


def translate(error: Exception, *, connecting: bool) -> BaseException:
    """The error of ours for an error of the driver, or `error` itself when it is neither's.

    Types are looked at besides codes: asyncpg raises an InterfaceError without a code for COMMIT
    on a dead session, an InternalClientError for a statement on a terminated backend, and a plain
    TimeoutError when the server does not answer in time.
    """
    if isinstance(error, asyncpg.InvalidCachedStatementError | asyncpg.OutdatedSchemaCacheError):
        # A table was altered meanwhile; the driver has noticed, and prepares anew.
        return Contention(_one_line(error), sqlstate=getattr(error, "sqlstate", NEVER_SENT))
    if isinstance(error, asyncpg.PostgresError):
        sqlstate = getattr(error, "sqlstate", None)
        kind = error_class(sqlstate or "")
        if connecting and issubclass(kind, UnknownStoreError | Refused):
            return _bad_address(error)  # a parameter after its ? that the server does not know
        lost = issubclass(kind, ConnectionLost)
        return kind(_one_line(error), sqlstate=sqlstate, ambiguous=lost and not connecting)
    if isinstance(error, ValueError) and connecting:
        return _bad_address(error)
    if isinstance(error, TimeoutError):
        late = "the database did not answer in time"
        return ConnectionLost(late) if connecting else StatementTimeout(late, ambiguous=True)
    if isinstance(error, asyncpg.InterfaceError | asyncpg.InternalClientError | OSError):
        return ConnectionLost(_one_line(error), ambiguous=not connecting)
    if isinstance(error, UnicodeEncodeError | OverflowError):
        return Refused(_one_line(error))
    return error


def _bad_address(error: Exception) -> SettingsError:
    return SettingsError(
        f"the database's address cannot be used: {_one_line(error)};"
        " write it as postgresql://user:password@host:port/database"
    )


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text or type(error).__name__


@asynccontextmanager
async def open_database(
    url: str,
    lanes: Sequence[Lane],
    *,
    emit: Emit,
    schema: str = DEFAULT_SCHEMA,
    command_timeout_s: float = 30.0,
) -> AsyncIterator[PostgresDatabase]:
    """A database for as long as the context lasts; connections are made when first needed.

    On Trio it brings its own asyncio loop along, on asyncio it uses the running one.
    """
    database = PostgresDatabase(
        url, lanes, schema=schema, command_timeout_s=command_timeout_s, emit=emit
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
