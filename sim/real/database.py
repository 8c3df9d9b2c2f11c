"""The database of a process on a real server, and what goes wrong between the two, really.

Rule of this file: the worker sees what the driver makes of a real event, never an error of our
making. A line that is lost is a backend that was terminated; an error is one that the server
answers with; a reply that never comes is that of a statement which was carried out. What is decided
here is how; when, that decides `sim.chaos`.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, TypeVar, cast

import trio_asyncio

from sim.chaos import CONNECT
from sim.database.faults import SQLSTATES, Fault, Faults, Kind
from sim.database.wire import BEGIN, COMMIT
from sim.happenings import ConnectFailed
from sim.real.server import CROWD
from trioworker.errors import StoreError
from trioworker.events import Emit, discard
from trioworker.store.postgres.connecting import Connection
from trioworker.store.postgres.database import (
    USER_STATEMENT,
    Lane,
    PostgresDatabase,
    Row,
    Transaction,
)
from trioworker.store.postgres.statements import DEFAULT_SCHEMA

T = TypeVar("T")

NOWHERE: Final = "postgresql://nobody@/nothing?host=/nonexistent"
"""An address where no server listens."""
END: Final = "select pg_terminate_backend(pg_backend_pid())"
FAIL: Final = "select sim.fail($1, $2)"
CUT: Final = frozenset({Kind.LOST_BEFORE, Kind.TERMINATED})
LATE: Final = frozenset({Kind.SLOW, Kind.STALLED_BEFORE})
AFTER: Final = frozenset({Kind.STALLED_AFTER, Kind.LOST_AFTER})


class FaultyDatabase(PostgresDatabase):
    """The product's own database in the process `actor`; made by `open_faulty`."""

    def __init__(
        self,
        url: str,
        lanes: Sequence[Lane],
        *,
        actor: str,
        faults: Faults,
        command_timeout_s: float,
        emit: Emit,
    ) -> None:
        super().__init__(
            f"{url}&sim.actor={actor}",
            lanes,
            schema=DEFAULT_SCHEMA,
            command_timeout_s=command_timeout_s,
            emit=emit,
        )
        self._timeout_s = command_timeout_s
        self._actor = actor
        self._faults = faults
        self._connections: list[Connection] = []
        self._dead = False
        self._wrong_addresses = {
            Kind.CONNECT_REFUSED: _at(NOWHERE),
            Kind.TOO_MANY_CONNECTIONS: _at(url.replace("//postgres@", f"//{CROWD}@")),
        }

    @property
    def open_connections(self) -> int:
        """How many connections are not closed."""
        return sum(not connection.is_closed() for connection in self._connections)

    def die(self) -> None:
        """The process is killed: its sockets are closed, and nothing more is sent."""
        self._dead = True
        for connection in self._connections:
            connection.terminate()

    async def transact(
        self, lane: str, body: Callable[[Transaction], Awaitable[T]], *, one: bool = False
    ) -> T:
        """See `Database.transact`."""

        async def faulty(tx: Transaction) -> T:
            line = _FaultyTransaction(self, tx)
            return await (body(line) if one else line.with_boundaries(body))

        return await super().transact(lane, faulty, one=one)

    async def fault_at(self, place: str) -> Fault | None:
        """What goes wrong with the next exchange; a process that was killed has no next one."""
        if self._dead:
            await asyncio.Event().wait()
        return self._faults.at(self._actor, place)

    async def delay(self, fault: Fault) -> None:
        """Wait as long as the fault says, but no longer than the driver would."""
        await asyncio.sleep(min(fault.delay_s, self._timeout_s))
        if fault.delay_s >= self._timeout_s:
            raise TimeoutError

    async def _connect(self, name: str, *, durable: bool) -> Connection:
        fault = await self.fault_at(CONNECT)
        try:
            if fault is not None:
                elsewhere = self._wrong_addresses[fault.kind]
                await elsewhere._connect(name, durable=durable)  # noqa: SLF001 - the same class
            connection = await super()._connect(name, durable=durable)
        except StoreError as error:
            self._emit(ConnectFailed(message=str(error)))
            raise
        self._connections.append(connection)
        return connection


class _FaultyTransaction:
    """A transaction whose exchanges may fail."""

    def __init__(self, database: FaultyDatabase, tx: Transaction) -> None:
        self._database = database
        self._tx = tx
        self._connection: Connection = cast("Any", tx)._connection  # noqa: SLF001 - to break it

    async def with_boundaries(self, body: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run `body` after a BEGIN and before a COMMIT, both of which may fail.

        They are the product's own. Only a COMMIT after which something is to happen is sent here,
        and the product's comes too late.
        """
        begin = await self._database.fault_at(BEGIN)
        await self._before(begin)
        await self._after(begin)
        result = await body(self)
        commit = await self._database.fault_at(COMMIT)
        await self._before(commit)
        if commit is not None and commit.kind in AFTER:
            await self._connection.execute("commit")
            await self._after(commit)
        return result

    async def run(self, name: str, *arguments: object, jobs: int = 0) -> Sequence[Row]:
        fault = await self._database.fault_at(name)
        await self._before(fault)
        rows = await self._tx.run(name, *arguments, jobs=jobs)
        await self._after(fault)
        return rows

    async def user_statement(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        fault = await self._database.fault_at(USER_STATEMENT)
        await self._before(fault)
        await self._tx.user_statement(sql, rows)
        await self._after(fault)

    async def script(self, sql: str) -> None:
        await self._tx.script(sql)

    async def _before(self, fault: Fault | None) -> None:
        if fault is None:
            return
        if fault.kind in CUT:
            await self._cut()
        elif fault.kind in SQLSTATES:
            await self._connection.execute(FAIL, SQLSTATES[fault.kind], fault.kind.value)
        elif fault.kind in LATE:
            await self._database.delay(fault)

    async def _after(self, fault: Fault | None) -> None:
        if fault is None:
            return
        if fault.kind is Kind.STALLED_AFTER:
            await self._database.delay(fault)
        elif fault.kind is Kind.LOST_AFTER:
            await self._cut()
            await self._connection.execute("select")  # which finds the line dead

    async def _cut(self) -> None:
        """The backend ends, and its client has not heard of it yet."""
        with suppress(Exception):
            await self._connection.execute(END)


@asynccontextmanager
async def open_faulty(
    url: str,
    lanes: Sequence[Lane],
    *,
    actor: str,
    faults: Faults,
    command_timeout_s: float,
    emit: Emit,
) -> AsyncIterator[FaultyDatabase]:
    """A database for as long as the context lasts, from Trio."""
    database = FaultyDatabase(
        url, lanes, actor=actor, faults=faults, command_timeout_s=command_timeout_s, emit=emit
    )
    async with trio_asyncio.open_loop() as loop:
        database._loop = loop  # noqa: SLF001 - the same class
        try:
            yield database
        finally:
            await database.close()


def _at(url: str) -> PostgresDatabase:
    return PostgresDatabase(url, (), schema=DEFAULT_SCHEMA, command_timeout_s=1.0, emit=discard)
