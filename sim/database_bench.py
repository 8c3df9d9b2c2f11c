"""A modelled server to try things with, one statement at a time: for the tests of its engine.

Its statements touch the smallest table, `migration`, by its key. A client's statement is sent and
either done or waiting when the call comes back.
"""

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import msgspec
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from sim.database.rows import MigrationRow
from sim.database.server import EPOCH, SimServer
from sim.database.session import Session
from sim.database.statement import Statement
from trioworker.errors import StoreError

Body = Callable[[Statement], Coroutine[Any, Any, Any]]


def row(number: int, name: str = "new") -> MigrationRow:
    """A row of it."""
    return MigrationRow(number=number, name=name, applied_at=EPOCH)


def insert(number: int, name: str = "new", *, do_nothing: bool = False) -> Body:
    """`INSERT`, perhaps with `ON CONFLICT DO NOTHING`."""
    return lambda s: s.insert(s.tables.migration, row(number, name), do_nothing=do_nothing)


def upsert(number: int, name: str) -> Body:
    """`INSERT … ON CONFLICT DO UPDATE`."""
    change = renamed(name)
    return lambda s: s.insert(s.tables.migration, row(number, name), on_conflict=change)


def renamed(name: str) -> Callable[[MigrationRow], MigrationRow]:
    """`SET name`."""
    return lambda old: msgspec.structs.replace(old, name=name)


def rename(number: int, name: str, *, only: str | None = None) -> Body:
    """`UPDATE … SET name WHERE number`, and perhaps `AND name = only`."""

    def fits(found: MigrationRow) -> bool:
        return only in (None, found.name)

    async def run(s: Statement) -> object:
        found = s.find(s.tables.migration, number)
        if found is None or not fits(found):
            return None
        updated = await s.update(s.tables.migration, number, renamed(name), still=fits)
        return updated and updated.name

    return run


def delete(number: int) -> Body:
    """`DELETE … WHERE number`."""
    return lambda s: s.delete(s.tables.migration, number)


def lock(number: int, *, skip_locked: bool = False) -> Body:
    """`SELECT number … FOR UPDATE`."""

    async def run(s: Statement) -> object:
        found = await s.lock(s.tables.migration, number, skip_locked=skip_locked)
        return found and found.number

    return run


async def names(s: Statement) -> dict[int, str]:
    """`SELECT number, name`."""
    return {found.number: found.name for found in s.rows(s.tables.migration)}


def notify(*payloads: str) -> Body:
    """`NOTIFY`."""

    async def run(s: Statement) -> None:
        for payload in payloads:
            s.notify("channel", payload)

    return run


async def pass_time(clock: MockClock, seconds: float) -> None:
    """Let time pass, and those act whose time has come."""
    clock.jump(seconds)
    await wait_all_tasks_blocked()


class Client:
    """A session, and what became of its last statement."""

    def __init__(
        self, server: SimServer, tasks: trio.Nursery, name: str, *, durable: bool = True
    ) -> None:
        self.session = Session(server, actor=name, durable=durable)
        self.busy = False
        self._tasks = tasks
        self._answer: object = None
        self._error: StoreError | None = None

    @property
    def waits_for(self) -> Sequence[str]:
        """The names of those whom it waits for."""
        return [who.actor for who in self.session.waits_for]

    async def begins(self, body: Body) -> None:
        """Send a statement; come back when it is done or waits."""
        self._tasks.start_soon(self._run, body)
        await wait_all_tasks_blocked()

    async def does(self, body: Body) -> Any:  # noqa: ANN401 - whatever the statement gives
        """Run a statement that waits for nobody. Raises what it raises."""
        await self.begins(body)
        return self.answer()

    def answer(self) -> Any:  # noqa: ANN401 - as above
        """What the last statement gave, which must be over. Raises what it raised."""
        assert not self.busy
        if self._error is not None:
            raise self._error
        return self._answer

    async def ends(self, how: Callable[[], object]) -> None:
        """Commit, roll back or die; those who waited for that go on."""
        how()
        await wait_all_tasks_blocked()

    async def _run(self, body: Body) -> None:
        self.busy, self._answer, self._error = True, None, None
        try:
            self._answer = await self.session.carry_out(body)
        except StoreError as error:
            self._error = error
        self.busy = False


class Bench:
    """A server with two rows, and clients to try it with."""

    def __init__(self, tasks: trio.Nursery) -> None:
        self.server = SimServer(Random("bench"))
        self._tasks = tasks

    def client(self, name: str, *, durable: bool = True, begin: bool = True) -> Client:
        """A new client, in a transaction unless told otherwise."""
        client = Client(self.server, self._tasks, name, durable=durable)
        if begin:
            client.session.begin()
        return client

    async def stored(self) -> dict[int, str]:
        """What somebody sees who comes now."""
        client = self.client("visitor", begin=False)
        found: dict[int, str] = await client.does(names)
        client.session.end()
        return found


@asynccontextmanager
async def open_bench() -> AsyncIterator[Bench]:
    """A server whose table holds the rows 1 and 2, both named "old"."""
    async with trio.open_nursery() as tasks:
        made = Bench(tasks)
        filling = made.client("filling")
        await filling.does(insert(1, "old"))
        await filling.does(insert(2, "old"))
        filling.session.commit()
        filling.session.end()
        yield made
        tasks.cancel_scope.cancel()
