"""What remains in the modelled PostgreSQL: unique keys, commits, failures, news and crashes."""

from collections.abc import AsyncIterator

import pytest
from trio.testing import MockClock, wait_all_tasks_blocked

from sim.database.models import MODELS, all_models
from sim.database.server import WAL_WRITER_DELAY_S, Health
from sim.database.statement import Statement
from sim.database.transaction import Transaction
from sim.database_bench import (
    Bench,
    delete,
    insert,
    lock,
    names,
    notify,
    open_bench,
    pass_time,
    rename,
    renamed,
    row,
    upsert,
)
from trioworker.errors import Refused, StoreError, UnknownStoreError


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    """A server whose table holds the rows 1 and 2, both named "old"."""
    async with open_bench() as made:
        yield made


# ---- unique keys ------------------------------------------------------------------------------


async def test_a_key_comes_once(bench: Bench) -> None:
    """23505 for a second row, whoever has committed the first."""
    client = bench.client("one", begin=False)
    with pytest.raises(Refused, match="duplicate key") as refused:
        await client.does(insert(1))
    assert refused.value.sqlstate == "23505"


@pytest.mark.parametrize(
    ("end", "inserted"), [("commit", False), ("rollback", True), ("end", True)]
)
async def test_a_key_that_is_not_committed_yet_is_waited_for(
    bench: Bench,
    end: str,
    inserted: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """`ON CONFLICT DO NOTHING` inserts when the other goes back, and only then."""
    first, second = bench.client("first"), bench.client("second", begin=False)
    await first.does(insert(3, "first"))
    await second.begins(insert(3, "second", do_nothing=True))
    assert second.waits_for == ["first"]
    await first.ends(getattr(first.session, end))
    assert second.answer() is inserted
    assert (await bench.stored())[3] == ("second" if inserted else "first")


async def test_a_key_that_is_deleted_and_not_committed_is_waited_for(bench: Bench) -> None:
    """Nobody knows yet whether it is free."""
    first, second = bench.client("first"), bench.client("second", begin=False)
    await first.does(delete(1))
    await second.begins(insert(1))
    assert second.waits_for == ["first"]
    await first.ends(first.session.commit)
    assert second.answer() is True


async def test_do_nothing_sees_what_its_snapshot_does_not(bench: Bench) -> None:
    """A key counts once it is committed, even after the statement began."""
    first, second = bench.client("first"), bench.client("second", begin=False)
    await first.does(insert(3))

    async def run(s: Statement) -> tuple[bool, bool]:
        done = await s.insert(s.tables.migration, row(3), do_nothing=True)
        return done, s.find(s.tables.migration, 3) is None

    await second.begins(run)
    await first.ends(first.session.commit)
    assert second.answer() == (False, True)


async def test_do_update_changes_what_it_finds(bench: Bench) -> None:
    """The row in conflict, in the version that is newest when its holder has ended."""
    first, second = bench.client("first"), bench.client("second", begin=False)
    await first.does(upsert(1, "first"))
    await second.begins(upsert(1, "second"))
    assert second.waits_for == ["first"]
    await first.ends(first.session.commit)
    assert second.answer() is True
    assert (await bench.stored())[1] == "second"


async def test_do_update_does_no_row_twice(bench: Bench) -> None:
    """21000 for a second time in the same statement."""

    async def run(s: Statement) -> None:
        await s.insert(s.tables.migration, row(3), on_conflict=renamed("a"))
        await s.insert(s.tables.migration, row(3), on_conflict=renamed("b"))

    with pytest.raises(Refused) as refused:
        await bench.client("one", begin=False).does(run)
    assert refused.value.sqlstate == "21000"


# ---- advisory locks, notifications, failures --------------------------------------------------


async def test_an_advisory_lock_is_one_transactions(bench: Bench) -> None:
    """Taken twice by its holder, handed on in order at the end of its transaction."""
    clients = [bench.client(name) for name in ("a", "b", "c")]

    async def take(s: Statement) -> str:
        await s.advisory_lock("name")
        return "mine"

    assert [await clients[0].does(take), await clients[0].does(take)] == ["mine", "mine"]
    await clients[1].begins(take)
    await clients[2].begins(take)
    assert [client.waits_for for client in clients] == [[], ["a"], ["a", "b"]]
    await clients[0].ends(clients[0].session.commit)
    assert [client.busy for client in clients] == [False, False, True]


async def test_news_is_told_at_commit_and_once(bench: Bench) -> None:
    """The same notification twice in a transaction is one; of a rollback there is none."""
    heard: list[tuple[str, str]] = []
    listener = bench.client("listener", begin=False)
    listener.session.listen(["channel"], lambda *news: heard.append(news))
    client = bench.client("one")
    await client.does(notify("a", "b", "a"))
    await client.does(notify("a"))
    assert heard == []
    client.session.commit()
    assert heard == [("channel", "a"), ("channel", "b")]
    client.session.begin()
    await client.does(notify("c"))
    client.session.rollback()
    assert len(heard) == 2


async def test_a_failed_transaction_takes_nothing_more(bench: Bench) -> None:
    """25P02 until it ends, its locks gone at once, and its COMMIT is a rollback."""
    client, other = bench.client("one"), bench.client("other")
    await client.does(rename(1, "new"))
    with pytest.raises(Refused):
        await client.does(insert(2))
    with pytest.raises(UnknownStoreError) as refused:
        await client.does(names)
    assert refused.value.sqlstate == "25P02"
    assert await other.does(lock(1)) == 1
    assert client.session.commit() is False
    assert await bench.stored() == {1: "old", 2: "old"}


async def test_a_statement_of_its_own_is_its_own_transaction(bench: Bench) -> None:
    """Committed when it is done, rolled back when it fails."""
    client = bench.client("one", begin=False)

    async def half(s: Statement) -> None:
        await s.insert(s.tables.migration, row(3))
        await s.insert(s.tables.migration, row(1))

    with pytest.raises(Refused):
        await client.does(half)
    await client.does(insert(4))
    assert sorted(await bench.stored()) == [1, 2, 4]


async def test_a_session_that_dies_waiting_leaves_nothing(bench: Bench) -> None:
    """Not its changes, not its locks, not its place in a line."""
    holder, dying, third = (bench.client(name) for name in ("holder", "dying", "third"))
    await holder.does(lock(1))
    await dying.does(rename(2, "new"))
    await dying.begins(lock(1))
    await third.begins(lock(1))
    await dying.ends(dying.session.end)
    assert dying.answer() is None
    assert third.waits_for == ["holder"]
    assert await bench.stored() == {1: "old", 2: "old"}
    assert await holder.does(lock(2)) == 2


async def test_a_session_that_dies_as_its_turn_comes_leaves_nothing(bench: Bench) -> None:
    """The lock was granted and the statement goes through, but nobody is there to commit it."""
    holder, other = bench.client("holder"), bench.client("other")
    dying, lonely = bench.client("dying"), bench.client("lonely", begin=False)
    await holder.does(lock(1))
    await other.does(lock(2))
    await dying.begins(rename(1, "dying"))
    await lonely.begins(rename(2, "lonely"))
    for client in (holder, other):
        client.session.rollback()
    for client in (dying, lonely):
        client.session.end()
    await wait_all_tasks_blocked()
    assert await holder.does(names) == {1: "old", 2: "old"}
    assert [await other.does(lock(1)), await other.does(lock(2))] == [1, 2]


# ---- crashes ----------------------------------------------------------------------------------


class Notes:
    """What a watcher was told."""

    def __init__(self) -> None:
        self.committed_by: list[str] = []
        self.lost_by: list[str] = []

    def committed(self, transaction: Transaction) -> None:
        """See `Watcher.committed`."""
        self.committed_by.append(transaction.actor)

    def lost(self, transaction: Transaction) -> None:
        """See `Watcher.lost`."""
        self.lost_by.append(transaction.actor)


async def test_a_crash_loses_what_was_not_written(bench: Bench) -> None:
    """The commits that did not wait for the disk since the last one that did, newest first."""
    notes = Notes()
    bench.server.watchers.append(notes)
    for number, durable in ((3, False), (4, True), (5, False), (6, False)):
        client = bench.client(f"{number}", durable=durable)
        await client.does(insert(number))
        client.session.commit()
    changing = bench.client("change", durable=False)
    await changing.does(rename(1, "new"))
    await changing.does(delete(5))
    changing.session.commit()
    open_one = bench.client("open")
    await open_one.does(insert(7))
    assert bench.server.stop(lose_unwritten=True) == 3
    assert notes.lost_by == ["change", "6", "5"]
    bench.server.start()
    assert await bench.stored() == {1: "old", 2: "old", 3: "new", 4: "new"}


async def test_a_stop_in_peace_loses_nothing(bench: Bench) -> None:
    """Only what was not committed."""
    client = bench.client("one", durable=False)
    await client.does(insert(3))
    client.session.commit()
    client.session.begin()
    await client.does(insert(4))
    assert bench.server.stop(lose_unwritten=False) == 0
    bench.server.start()
    assert sorted(await bench.stored()) == [1, 2, 3]


async def test_wal_is_written_by_and_by(mock_clock: MockClock, bench: Bench) -> None:
    """A crash later than the WAL writer's delay loses nothing."""
    client = bench.client("one", durable=False)
    await client.does(insert(3))
    client.session.commit()
    await pass_time(mock_clock, WAL_WRITER_DELAY_S * 1.1)
    assert bench.server.stop(lose_unwritten=True) == 0


async def test_a_standby_takes_no_writes(bench: Bench) -> None:
    """25006 for what writes, answers for what reads."""
    bench.server.start(Health.STANDBY)
    client = bench.client("one", begin=False)
    with pytest.raises(StoreError) as refused:
        await client.session.run("record_migration", (9, "name"))
    assert refused.value.sqlstate == "25006"
    assert await client.session.run("schema_version", ()) == [(2,)]
    assert await client.session.run("ping", ()) == [(False,)]


# ---- models -----------------------------------------------------------------------------------


def test_a_query_without_a_model_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the start, and by name."""
    monkeypatch.delitem(MODELS, "pull")
    with pytest.raises(AssertionError, match=r"queries without a model: \['pull'\]"):
        all_models()
