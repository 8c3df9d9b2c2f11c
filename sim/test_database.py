"""What a statement of the modelled PostgreSQL sees, and for whom it waits."""

from collections.abc import AsyncIterator

import pytest
from trio.testing import MockClock

from sim.database.statement import Statement
from sim.database.transaction import DEADLOCK_TIMEOUT_S
from sim.database_bench import (
    Bench,
    Body,
    delete,
    insert,
    lock,
    names,
    open_bench,
    pass_time,
    rename,
    renamed,
    row,
)
from trioworker.errors import Contention


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    """A server whose table holds the rows 1 and 2, both named "old"."""
    async with open_bench() as made:
        yield made


# ---- what is seen -----------------------------------------------------------------------------


async def test_others_see_nothing_before_the_commit(bench: Bench) -> None:
    """A statement sees what was committed when it began, and its own transaction's statements."""
    writer, reader = bench.client("writer"), bench.client("reader")
    await writer.does(rename(1, "new"))
    await writer.does(insert(3))
    await writer.does(delete(2))
    assert await writer.does(names) == {1: "new", 3: "new"}
    assert await reader.does(names) == {1: "old", 2: "old"}
    writer.session.commit()
    assert await reader.does(names) == {1: "new", 3: "new"}


async def test_the_parts_of_a_statement_do_not_see_each_other(bench: Bench) -> None:
    """What a statement has changed itself it still finds as it was."""

    async def run(s: Statement) -> tuple[object, ...]:
        await s.update(s.tables.migration, 1, renamed("new"))
        await s.insert(s.tables.migration, row(3))
        found = s.find(s.tables.migration, 1)
        again = await s.update(s.tables.migration, 1, renamed("newer"))
        return found and found.name, s.find(s.tables.migration, 3), again

    assert await bench.client("one").does(run) == ("old", None, None)


async def test_a_rollback_leaves_nothing(bench: Bench) -> None:
    """Whatever was done is undone, in the order that it takes."""
    client = bench.client("one")
    for body in (rename(1, "a"), rename(1, "b"), delete(1), insert(1, "c"), delete(2), insert(3)):
        await client.does(body)
    assert await client.does(names) == {1: "c", 3: "new"}
    client.session.rollback()
    assert await bench.stored() == {1: "old", 2: "old"}


async def test_now_stands_still_in_a_transaction(mock_clock: MockClock, bench: Bench) -> None:
    """`now()` is when the transaction began, `clock_timestamp()` is the time."""
    client = bench.client("one")

    async def times(s: Statement) -> tuple[object, object]:
        return s.now, s.clock()

    now, clock = await client.does(times)
    await pass_time(mock_clock, 1)
    later, later_clock = await client.does(times)
    assert now == later
    assert (later_clock - clock).total_seconds() == pytest.approx(1)


# ---- who waits --------------------------------------------------------------------------------


@pytest.mark.parametrize("held", [rename(1, "new"), delete(1), lock(1)])
@pytest.mark.parametrize("wanted", [rename(1, "newer"), delete(1), lock(1)])
async def test_whoever_wants_a_row_that_is_held_waits(
    mock_clock: MockClock, bench: Bench, held: Body, wanted: Body
) -> None:
    """All locks on rows exclude each other, until the holder ends."""
    holder, other = bench.client("holder"), bench.client("other")
    await holder.does(held)
    await other.begins(wanted)
    assert other.busy
    assert other.waits_for == ["holder"]
    await pass_time(mock_clock, 100)
    assert other.busy
    await holder.ends(holder.session.rollback)
    assert other.answer() is not None


@pytest.mark.parametrize("end", ["commit", "rollback", "end"])
async def test_a_lock_lasts_as_long_as_its_transaction(bench: Bench, end: str) -> None:
    """Commit, rollback and the end of the session let go of it."""
    holder, other = bench.client("holder"), bench.client("other", begin=False)
    await holder.does(lock(1))
    await other.begins(lock(1))
    assert other.busy
    await holder.ends(getattr(holder.session, end))
    assert other.answer() == 1


async def test_a_changed_row_is_looked_at_again(bench: Bench) -> None:
    """Whoever waited goes on with the newest version, if it is still wanted."""
    holder = bench.client("holder")
    fits, does_not, gone = (bench.client(name, begin=False) for name in ("fits", "not", "gone"))
    await holder.does(rename(1, "new"))
    await holder.does(delete(2))
    await fits.begins(rename(1, "newer"))
    await does_not.begins(rename(1, "newest", only="old"))
    await gone.begins(rename(2, "newer"))
    await holder.ends(holder.session.commit)
    assert (fits.answer(), does_not.answer(), gone.answer()) == ("newer", None, None)
    assert await bench.stored() == {1: "newer"}


async def test_nothing_is_looked_at_again_after_a_rollback(bench: Bench) -> None:
    """The row is what it was when the statement began."""
    holder, other = bench.client("holder"), bench.client("other", begin=False)
    await holder.does(rename(1, "new"))
    await other.begins(rename(1, "newest", only="old"))
    await holder.ends(holder.session.rollback)
    assert other.answer() == "newest"


async def test_a_line_behind_a_row_is_kept(bench: Bench) -> None:
    """Who comes later waits for all who stand before him, and they have their turn in order."""
    holder, *line = (bench.client(name) for name in ("holder", "first", "second", "third"))
    await holder.does(lock(1))
    for client in line:
        await client.begins(lock(1))
    waits = [client.waits_for for client in line]
    assert waits == [["holder"], ["first"], ["first", "second"]]
    await holder.ends(holder.session.commit)
    assert [client.busy for client in line] == [False, True, True]
    await line[1].ends(line[1].session.end)
    assert line[2].waits_for == ["first"]
    await line[0].ends(line[0].session.rollback)
    assert line[2].answer() == 1


async def test_skip_locked_passes_over(bench: Bench) -> None:
    """A row in somebody's hands is as if it were not there, a free one is taken."""
    holder, other = bench.client("holder"), bench.client("other")
    await holder.does(lock(1))
    assert await other.does(lock(1, skip_locked=True)) is None
    assert await other.does(lock(2, skip_locked=True)) == 2
    await holder.ends(holder.session.rollback)
    assert await other.does(lock(1, skip_locked=True)) == 1


async def test_own_locks_are_no_obstacle(bench: Bench) -> None:
    """A transaction never waits for itself."""
    client = bench.client("one")
    for body in (lock(1), rename(1, "new"), lock(1, skip_locked=True), delete(1)):
        assert await client.does(body) is not None


# ---- circles ----------------------------------------------------------------------------------


async def test_who_closes_a_circle_goes_down(mock_clock: MockClock, bench: Bench) -> None:
    """After the deadlock timeout, with 40P01; the other goes on with what it wanted."""
    one, other = bench.client("one"), bench.client("other")
    await one.does(lock(1))
    await other.does(lock(2))
    await one.begins(lock(2))
    await pass_time(mock_clock, DEADLOCK_TIMEOUT_S / 2)
    await other.begins(lock(1))
    assert one.busy
    assert other.busy
    await pass_time(mock_clock, DEADLOCK_TIMEOUT_S * 0.9)
    with pytest.raises(Contention) as refused:
        one.answer()  # its wait was the older one
    assert refused.value.sqlstate == "40P01"
    assert other.answer() == 1


async def test_a_circle_may_be_long(mock_clock: MockClock, bench: Bench) -> None:
    """Three who wait for each other: one goes down, nobody else."""
    clients = [bench.client(name) for name in ("a", "b", "c")]
    await clients[2].does(insert(3))
    for number, client in enumerate(clients[:2], start=1):
        await client.does(lock(number))
    await clients[0].begins(lock(2))
    await pass_time(mock_clock, DEADLOCK_TIMEOUT_S * 2)
    await clients[1].begins(insert(3))
    await pass_time(mock_clock, DEADLOCK_TIMEOUT_S * 2)
    await clients[2].begins(lock(1))
    assert [client.busy for client in clients] == [True, True, True]
    await pass_time(mock_clock, DEADLOCK_TIMEOUT_S * 1.1)
    assert clients[0].busy  # for the row that the second one holds
    assert clients[1].answer() is True
    with pytest.raises(Contention):
        clients[2].answer()


async def test_a_long_wait_is_no_circle(mock_clock: MockClock, bench: Bench) -> None:
    """Whoever waits for somebody who waits for nobody is left in peace."""
    holder, first, second = (bench.client(name) for name in ("holder", "first", "second"))
    await holder.does(lock(1))
    await first.does(lock(2))
    await first.begins(lock(1))
    await second.begins(lock(2))
    await pass_time(mock_clock, DEADLOCK_TIMEOUT_S * 10)
    assert second.busy
    assert second.waits_for == ["first"]
