"""`SimDatabase`: the `Database` of a simulated process, in the place of `PostgresDatabase`.

Rule of this file: lanes, transactions and what becomes of a connection after a failure are as in
`trioworker.store.postgres.database`, which see; a test compares the two, case by case.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final, NoReturn, TypeVar

import trio

from sim.database.wire import Connection, Wire
from sim.happenings import ConnectFailed
from trioworker.errors import ConnectionLost, StoreError
from trioworker.events import Emit, StatementRun
from trioworker.store.postgres.database import (
    LISTEN_PING_S,
    USER_STATEMENT,
    Lane,
    Row,
    Transaction,
)
from trioworker.store.postgres.sqlstates import is_usable_after, of_user
from trioworker.store.postgres.statements import load_statements

T = TypeVar("T")

_STATEMENTS: Final = load_statements()
INBOX: Final = 1_000
"""Notifications on their way to one who listens; too many at once are lost, as hints may be."""
KNOWN_IN_TIME: Final = 0.5
"""How often a client learns that its idle line is dead before it uses it again."""


class SimDatabase:
    """A `Database` of the process `actor`, over a modelled wire to a modelled server.

    `asker` says for whom the process does what it does at the moment, if that may be another one.
    """

    def __init__(
        self,
        wire: Wire,
        lanes: Sequence[Lane],
        *,
        actor: str,
        emit: Emit,
        command_timeout_s: float = 30.0,
        asker: Callable[[], str] | None = None,
    ) -> None:
        self._wire = wire
        self._actor = actor
        self._asker = asker
        self._emit = emit
        self._timeout_s = command_timeout_s
        self._lanes = {lane.name: _OpenLane(lane) for lane in lanes}
        self._connections: dict[Connection, None] = {}
        self._dead = False

    @property
    def open_connections(self) -> int:
        """How many connections are not closed."""
        return len(self._connections)

    @property
    def busy_connections(self) -> int:
        """How many connections are in somebody's hands."""
        idle = sum(len(lane.idle) for lane in self._lanes.values())
        return len(self._connections) - idle

    async def run(self, lane: str, name: str, *arguments: object, jobs: int = 0) -> Sequence[Row]:
        """See `Database.run`."""
        return await self.transact(lane, lambda tx: tx.run(name, *arguments, jobs=jobs), one=True)

    async def transact(
        self, lane: str, body: Callable[[Transaction], Awaitable[T]], *, one: bool = False
    ) -> T:
        """See `Database.transact`; `one` says that the body is a single statement."""
        open_lane = self._lanes[lane]
        async with open_lane:
            connection = await self._connection(open_lane)
            if self._asker is not None:
                connection.act_for(self._asker())
            try:
                result = await self._transaction(connection, open_lane.lane.name, body, one=one)
            except StoreError as error:
                if is_usable_after(error):
                    open_lane.idle.append(connection)
                else:
                    self._close(connection)
                raise
            except BaseException:
                self._close(connection)
                raise
            open_lane.idle.append(connection)
            return result

    async def listen(self, channels: Sequence[str], heard: Callable[[str, str], None]) -> NoReturn:
        """See `Database.listen`."""
        connection = await self._connect(durable=True)
        inbox, outlet = trio.open_memory_channel[tuple[str, str]](INBOX)
        connection.session.listen(
            channels,
            lambda *news: self._wire.later(self._actor, lambda: _pass_on(inbox, news)),
            lambda: self._wire.later(self._actor, inbox.close),
        )
        try:
            heard("", "")
            while True:
                with trio.move_on_after(LISTEN_PING_S) as silence:
                    heard(*await outlet.receive())
                if silence.cancelled_caught:
                    await self._unless_dead(lambda: connection.run("ping", ()))
        except trio.EndOfChannel:
            raise ConnectionLost("the connection that listens was lost") from None
        finally:
            self._close(connection)

    def close(self) -> None:
        """Say goodbye on every connection."""
        for connection in list(self._connections):
            self._close(connection)

    def die(self) -> None:
        """The process is killed: nothing more is sent, and what was sent is on its way."""
        self._dead = True
        for connection in self._connections:
            connection.abandon()
        self._connections.clear()

    async def _transaction(
        self,
        connection: Connection,
        lane: str,
        body: Callable[[Transaction], Awaitable[T]],
        *,
        one: bool,
    ) -> T:
        tx = _Transaction(self, connection, lane)
        if one:
            return await body(tx)
        await self._unless_dead(connection.begin)
        try:
            result = await body(tx)
        except StoreError as error:
            if error.sqlstate is not None and not error.ambiguous:
                await self._unless_dead(connection.rollback)
            raise
        await self._unless_dead(connection.commit)
        return result

    async def _connection(self, lane: "_OpenLane") -> Connection:
        while lane.idle:
            connection = lane.idle.pop()
            if connection.session.alive or not self._knows_of_loss():
                return connection
            self._close(connection)
        return await self._connect(durable=lane.lane.durable)

    async def _connect(self, *, durable: bool) -> Connection:
        await self._must_live()
        try:
            connection = await self._wire.connect(
                self._actor, durable=durable, timeout_s=self._timeout_s
            )
        except StoreError as error:
            self._emit(ConnectFailed(message=str(error)))
            raise
        if self._dead:
            connection.abandon()
        self._connections[connection] = None
        return connection

    def _knows_of_loss(self) -> bool:
        """Whether the news that a line is dead came before somebody wanted to use it."""
        return self._wire.faults.luck(self._actor, "news of a loss") < KNOWN_IN_TIME

    def _close(self, connection: Connection) -> None:
        if not self._dead and not connection.closed:
            connection.terminate()
        self._connections.pop(connection, None)

    async def _unless_dead(self, ask: Callable[[], Awaitable[T]]) -> T:
        """The answer to what a living process asks."""
        await self._must_live()
        return await ask()

    async def _must_live(self) -> None:
        """A killed process does not come further than this."""
        if self._dead:
            await trio.sleep_forever()


class _OpenLane:
    """A lane's idle connections, and the right to use one, which is taken by entering it."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.idle: list[Connection] = []
        self._slots = trio.Semaphore(lane.size)

    async def __aenter__(self) -> None:
        # No checkpoint besides the one that the exchange is, unless it must wait.
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._slots.value:
            self._slots.acquire_nowait()
        else:
            await self._slots.acquire()

    async def __aexit__(self, *_: object) -> None:
        self._slots.release()


class _Transaction:
    """What a transaction's body may await."""

    def __init__(self, database: SimDatabase, connection: Connection, lane: str) -> None:
        self._database = database
        self._connection = connection
        self._lane = lane

    async def run(self, name: str, *arguments: object, jobs: int = 0) -> Sequence[Row]:
        database = self._database
        connection = self._connection
        rows: Sequence[Row] = await database._unless_dead(  # noqa: SLF001 - the far side of the same class
            lambda: connection.run(name, arguments)
        )
        database._emit(  # noqa: SLF001 - as above
            StatementRun(name=name, lane=self._lane, jobs=jobs, rows=len(rows))
        )
        return rows if _STATEMENTS[name].rows != "none" else ()

    async def user_statement(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        database = self._database
        connection = self._connection
        try:
            await database._unless_dead(  # noqa: SLF001 - as above
                lambda: connection.user_statement(sql, rows)
            )
        except StoreError as error:
            raise of_user(error, alive=connection.session.alive) from error
        database._emit(  # noqa: SLF001 - as above
            StatementRun(name=USER_STATEMENT, lane=self._lane, jobs=0, rows=0)
        )

    async def script(self, sql: str) -> None:
        raise NotImplementedError(f"the model has no parser for {sql[:40]!r}")


def _pass_on(inbox: trio.MemorySendChannel[tuple[str, str]], news: tuple[str, str]) -> None:
    with suppress(trio.WouldBlock, trio.BrokenResourceError, trio.ClosedResourceError):
        inbox.send_nowait(news)
