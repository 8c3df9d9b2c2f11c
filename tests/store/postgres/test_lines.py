"""Lines that break or never come about: what is said, what is in doubt, and what is used again."""

from collections.abc import Awaitable, Callable
from typing import Final

import psycopg
import pytest
import trio

from tests.store.postgres.scene import Scene, on_every_version, open_scene, until
from trioworker.errors import ConnectionLost, StatementTimeout, StoreError
from trioworker.events import discard
from trioworker.store.postgres.database import Lane, Transaction, open_database
from trioworker.store.postgres.store import COMMIT, CONTROL

OURS: Final = (
    "from pg_stat_activity where datname = current_database()"
    " and application_name = 'trioworker commit'"
)
TERMINATE: Final = f"select pg_terminate_backend(pid, 30000) {OURS}"
BREAKS_AT_COMMIT: Final = """
create function trioworker.hang_up() returns trigger language plpgsql as
$$ begin perform pg_terminate_backend(pg_backend_pid()); return null; end $$;
create constraint trigger hang_up after insert on trioworker.waiting
    deferrable initially deferred for each row execute function trioworker.hang_up();
"""
WAITING: Final = "insert into trioworker.waiting (id, reason) values (gen_random_uuid(), 'x')"


async def raised(scene: Scene, body: Callable[[Transaction], Awaitable[object]]) -> StoreError:
    """The error of a transaction on the lane of commits."""
    with pytest.raises(StoreError) as caught:
        await scene.database.transact(COMMIT, body)
    return caught.value


async def works(scene: Scene) -> None:
    """The lane of commits serves at once, as though nothing had been."""
    rows = await scene.database.run(COMMIT, "ping")
    assert rows[0][0] is True


def in_doubt(error: StoreError) -> bool:
    """Whether it is a lost line, and it may have happened."""
    return type(error) is ConnectionLost and error.ambiguous


def terminate(scene: Scene) -> None:
    """End the server's processes for the lane, and return when they are gone."""
    assert set(scene.query(TERMINATE)) == {(True,)}


async def until_active(scene: Scene) -> None:
    """Return when a statement runs on the lane."""
    await until(lambda: scene.query(f"select {OURS} and state = 'active'"))


async def until_gone(scene: Scene) -> None:
    """Return when the server has no process for the lane."""
    await until(lambda: not scene.query(f"select {OURS}"))


async def test_a_line_that_broke_while_it_was_idle(scene: Scene) -> None:
    """Whoever uses it next learns that it broke; the one after has a new one."""
    await works(scene)
    terminate(scene)  # and nothing is read from the line until it is used
    assert in_doubt(await raised(scene, lambda tx: tx.run("ping")))
    await works(scene)


@on_every_version
async def test_a_line_that_breaks_during_a_statement(scene: Scene) -> None:
    """It is a lost line with the server's last word, and nobody can say what became of it."""
    async with trio.open_nursery() as nursery:

        async def cut() -> None:
            await until_active(scene)
            terminate(scene)

        nursery.start_soon(cut)
        error = await raised(scene, lambda tx: tx.script("select pg_sleep(60)"))
    assert in_doubt(error)
    assert "terminating connection" in str(error)
    await works(scene)


async def test_a_line_that_breaks_between_two_statements(scene: Scene) -> None:
    """The next statement finds out, however the driver words it."""

    async def body(tx: Transaction) -> None:
        await tx.run("ping")
        terminate(scene)
        await tx.run("ping")

    assert in_doubt(await raised(scene, body))
    await works(scene)


async def test_a_line_that_broke_before_the_commit(scene: Scene) -> None:
    """COMMIT on a dead session: an error of the driver's without a code, and a lost line."""

    async def body(tx: Transaction) -> None:
        await tx.script(WAITING)
        terminate(scene)

    assert in_doubt(await raised(scene, body))
    assert scene.places() == {}
    await works(scene)


@on_every_version
async def test_a_line_that_breaks_in_the_commit(scene: Scene) -> None:
    """Whoever is cut off during COMMIT cannot know; here nothing was stored."""
    scene.do(BREAKS_AT_COMMIT)
    assert in_doubt(await raised(scene, lambda tx: tx.script(WAITING)))
    assert scene.places() == {}
    await works(scene)


async def test_a_server_that_ends_an_idle_transaction(scene: Scene) -> None:
    """Whoever was silent in a transaction for too long has lost its line and its transaction."""

    async def body(tx: Transaction) -> None:
        await tx.script(f"set local idle_in_transaction_session_timeout = '1ms'; {WAITING}")
        while scene.query(f"select {OURS}"):
            pass
        await tx.run("ping")

    assert in_doubt(await raised(scene, body))
    assert scene.places() == {}
    await works(scene)


async def test_a_cancelled_statement_takes_its_line_along(scene: Scene) -> None:
    """The server stops the statement, and its connection is not used again."""
    await works(scene)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            scene.database.transact, COMMIT, lambda tx: tx.script(f"{WAITING}; select pg_sleep(60)")
        )
        await until_active(scene)
        nursery.cancel_scope.cancel()
    await until_gone(scene)
    assert scene.places() == {}
    await works(scene)


async def test_a_cancelled_wait_for_a_lock_leaves_the_queue(scene: Scene) -> None:
    """Who gives up waiting holds up nobody behind it."""
    worker = await scene.worker()
    with psycopg.connect(scene.url) as other:
        other.execute("select from trioworker.worker for update")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scene.database.run, CONTROL, "retire_worker", worker)
            await scene.until_blocked()
            nursery.cancel_scope.cancel()
        await scene.until_blocked(0)
    assert scene.query("select stopped_at from trioworker.worker") == [(None,)]


async def test_who_waits_for_a_line_can_be_cancelled(scene: Scene) -> None:
    """A lane that is busy keeps nobody from leaving, and the right to it is not lost."""
    async with open_database(scene.url, (Lane(COMMIT),), emit=discard) as database:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                database.transact, COMMIT, lambda tx: tx.script("select pg_sleep(60)")
            )
            await until_active(scene)
            with trio.move_on_after(0.05) as scope:
                await database.run(COMMIT, "ping")
            assert scope.cancelled_caught
            nursery.cancel_scope.cancel()
        assert (await database.run(COMMIT, "ping"))[0][0] is True


@pytest.mark.parametrize("one", [True, False])
async def test_a_server_that_takes_too_long(scene: Scene, one: bool) -> None:  # noqa: FBT001 - a parameter
    """After the command timeout it is in doubt what became of it; that line is not used again."""
    sleep = "select pg_sleep(60)"
    async with open_database(
        scene.url, (Lane(COMMIT),), emit=discard, command_timeout_s=0.1
    ) as database:
        with pytest.raises(StatementTimeout, match="did not answer in time") as caught:
            await database.transact(COMMIT, lambda tx: tx.script(sleep), one=one)
        assert (caught.value.sqlstate, caught.value.ambiguous) == (None, True)
        await until_gone(scene)
        assert (await database.run(COMMIT, "ping"))[0][0] is True


async def test_a_server_that_is_gone_holds_up_no_cancellation(scene: Scene) -> None:
    """Whoever is cancelled leaves at once: neither a rollback nor a goodbye is waited for."""
    left, scope = trio.Event(), trio.CancelScope()

    async def use() -> None:
        with scope:
            await scene.database.transact(COMMIT, lambda tx: tx.script("select pg_sleep(60)"))
        left.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(use)
        await until_active(scene)
        with scene.frozen(COMMIT), trio.fail_after(20):
            scope.cancel()
            await left.wait()


async def test_leaving_says_goodbye(scene: Scene) -> None:
    """What was opened is closed: the server has no process for us any more."""
    async with open_scene(scene.url) as another:
        await works(another)
        assert len(scene.query(f"select {OURS}")) == 1
    await until_gone(scene)


async def test_leaving_in_a_hurry_says_goodbye_as_well(scene: Scene) -> None:
    """Cancelled in the middle of a statement, the whole database is let go of in good order."""

    async def use() -> None:
        async with open_scene(scene.url) as another:
            await another.database.transact(COMMIT, lambda tx: tx.script("select pg_sleep(60)"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(use)
        await until_active(scene)
        nursery.cancel_scope.cancel()
    await until_gone(scene)


async def test_leaving_waits_for_no_server_that_is_gone(scene: Scene) -> None:
    """A goodbye that nobody answers takes a second at most, and no error comes of it."""
    await works(scene)
    with scene.frozen(COMMIT), trio.fail_after(20):
        await scene.database.close()
