"""The line that listens: what is notified arrives, it is kept alive, and its end is told."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import psycopg
import pytest
import trio

from tests.store.postgres.scene import Scene, on_every_version, until
from trioworker.errors import ConnectionLost, StoreError
from trioworker.events import discard
from trioworker.store.postgres import database as database_module
from trioworker.store.postgres.database import open_database
from trioworker.store.postgres.store import WORKER_LANES, PostgresStore
from trioworker.store.protocol import Hint

LISTENER: Final = (
    "from pg_stat_activity where datname = current_database()"
    " and application_name = 'trioworker listen'"
)


class Listener:
    """Somebody who listens, from a test: what it hears, and how it ended."""

    def __init__(self, store: PostgresStore) -> None:
        self._store = store
        self.ended_by: StoreError | None = None
        self._heard, self._hints = trio.open_memory_channel[Hint](1000)

    async def run(self) -> None:
        """Listen until the line is lost."""
        try:
            await self._store.listen(self._heard.send_nowait)
        except StoreError as error:
            self.ended_by = error
        self._heard.close()

    async def hears(self) -> Hint | None:
        """The next hint; None when the line is lost."""
        with trio.fail_after(30):
            try:
                return await self._hints.receive()
            except trio.EndOfChannel:
                return None


@asynccontextmanager
async def listener(store: PostgresStore) -> AsyncIterator[Listener]:
    """A listener that is told everything from here on."""
    async with trio.open_nursery() as nursery:
        made = Listener(store)
        nursery.start_soon(made.run)
        assert await made.hears() == Hint()
        yield made
        nursery.cancel_scope.cancel()


@on_every_version
async def test_hints_arrive_in_their_order(scene: Scene) -> None:
    """What is enqueued and cancelled is heard by whoever listens, with what it is about."""
    async with listener(scene.store) as ear:
        (id_,) = await scene.enqueue(tag="a")
        worker = await scene.worker()
        await scene.pull(worker, tags=("a",))
        await scene.enqueue(tag="tag with \"quotes' and ünïcode")
        await scene.jobs.cancel([id_], "enough")
        assert await ear.hears() == Hint(tag="a")
        assert await ear.hears() == Hint(tag="tag with \"quotes' and ünïcode")
        assert await ear.hears() == Hint(cancel_for=str(worker))


async def test_nothing_is_heard_of_what_is_rolled_back(scene: Scene) -> None:
    """A hint goes out with its transaction or not at all, and never about other channels."""
    async with listener(scene.store) as ear:
        with psycopg.connect(scene.url) as connection:
            connection.execute("select trioworker.enqueue('f', tag => 'never')")
            connection.rollback()
            connection.execute("select pg_notify('somebody_elses', 'x')")
        await scene.enqueue(tag="a")
        assert await ear.hears() == Hint(tag="a")


async def test_all_who_listen_hear_everything(scene: Scene) -> None:
    """Each has a line of its own."""
    async with listener(scene.store) as one, listener(scene.store) as two:
        await scene.enqueue(tag="a")
        assert (await one.hears(), await two.hears()) == (Hint(tag="a"), Hint(tag="a"))


async def test_a_quiet_line_is_kept_alive(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked for a sign of life again and again, and goes on to hear."""
    monkeypatch.setattr(database_module, "LISTEN_PING_S", 0.01)
    async with listener(scene.store) as ear:
        signs = {await sign_of_life(scene) for _ in range(3)}
        assert len(signs) == 3
        await scene.enqueue(tag="a")
        assert await ear.hears() == Hint(tag="a")
        assert ear.ended_by is None


async def sign_of_life(scene: Scene) -> object:
    """When the line was last asked, as soon as that is later than it was."""

    def asked() -> list[tuple[object, ...]]:
        return scene.query(f"select query_start {LISTENER} and query like '%%pg_is_in_recovery%%'")

    before = asked()
    await until(lambda: asked() not in (before, []))
    return asked()[0][0]


async def test_the_end_of_the_line_is_told(scene: Scene) -> None:
    """When its process in the server ends, a quiet listener learns it at once."""
    async with listener(scene.store) as ear:
        assert scene.query(f"select pg_terminate_backend(pid) {LISTENER}") == [(True,)]
        assert await ear.hears() is None
        assert type(ear.ended_by) is ConnectionLost
    async with listener(scene.store) as ear:
        await scene.enqueue(tag="a")
        assert await ear.hears() == Hint(tag="a")


async def test_a_line_that_gives_no_sign_of_life_is_lost(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that is gone without a word is found out by the next question."""
    monkeypatch.setattr(database_module, "LISTEN_PING_S", 0.01)
    async with open_database(
        scene.url, WORKER_LANES, emit=discard, command_timeout_s=0.5
    ) as database:
        store = PostgresStore(database, now_s=trio.current_time)
        async with listener(store) as ear:
            with scene.frozen("listen"):
                assert await ear.hears() is None
            assert isinstance(ear.ended_by, StoreError)


async def test_who_stops_listening_leaves_no_line(scene: Scene) -> None:
    """Cancelled, the line is closed."""
    async with listener(scene.store):
        assert len(scene.query(f"select {LISTENER}")) == 1
    await until(lambda: not scene.query(f"select {LISTENER}"))


async def test_nobody_listens_where_no_server_is() -> None:
    """A line that cannot be opened is an error like any other of the store's."""
    nowhere = "postgresql:///jobs?host=/never/was"
    async with open_database(nowhere, WORKER_LANES, emit=discard) as database:
        with pytest.raises(ConnectionLost):
            await PostgresStore(database, now_s=trio.current_time).listen(lambda _: None)
