"""Ids: UUIDv7s that sort by the time they were made, ours and the database's."""

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from itertools import count, repeat
from random import Random
from uuid import RFC_4122, UUID

import psycopg
import pytest

from trioworker.ids import IdMaker, derived_id, new_id

NOON_MS = 1_700_000_000_000
ZEROS: Callable[[], int] = repeat(0).__next__
ONES: Callable[[], int] = repeat((1 << 64) - 1).__next__


def milliseconds(made: UUID) -> int:
    """The time in the id: its first 48 bits."""
    return made.int >> 80


def counter(made: UUID) -> int:
    """The 12 bits between version and variant."""
    return made.int >> 64 & 0xFFF


def standing(now_ms: int, random_bits: Callable[[], int] = ZEROS) -> IdMaker:
    """A maker whose clock stands."""
    return IdMaker(now_ms=lambda: now_ms, random_bits=random_bits)


@pytest.mark.parametrize("random_bits", [ZEROS, ONES, lambda: Random(1).getrandbits(64)])
def test_an_id_is_a_uuid_of_version_7(random_bits: Callable[[], int]) -> None:
    """Time, version, variant and randomness are where RFC 9562 wants them."""
    made = standing(NOON_MS, random_bits)()
    assert (made.version, made.variant) == (7, RFC_4122)
    assert milliseconds(made) == NOON_MS
    assert counter(made) == 0
    assert made.int & (1 << 62) - 1 == random_bits() & (1 << 62) - 1


def test_the_layout_to_the_bit() -> None:
    """One id, written out."""
    assert str(standing(0x0123456789AB, ONES)()) == "01234567-89ab-7000-bfff-ffffffffffff"


def test_the_ids_of_a_millisecond_are_counted() -> None:
    """They increase whatever their random bits are."""
    make = IdMaker(now_ms=lambda: NOON_MS, random_bits=iter(range(9, 0, -1)).__next__)
    made = [make() for _ in range(9)]
    assert made == sorted(set(made))
    assert [counter(one) for one in made] == list(range(9))


def test_a_full_millisecond_borrows_from_the_next() -> None:
    """And the clock that gets there goes on behind what was borrowed."""
    now_ms = NOON_MS
    make = IdMaker(now_ms=lambda: now_ms, random_bits=ZEROS)
    made = [make() for _ in range(4097)]
    assert (milliseconds(made[4095]), counter(made[4095])) == (NOON_MS, 4095)
    assert (milliseconds(made[4096]), counter(made[4096])) == (NOON_MS + 1, 0)
    now_ms += 1
    assert (milliseconds(made_next := make()), counter(made_next)) == (NOON_MS + 1, 1)
    now_ms += 1
    assert (milliseconds(made_last := make()), counter(made_last)) == (NOON_MS + 2, 0)


def test_a_clock_that_is_set_back_makes_no_older_id() -> None:
    """Order within a maker is stronger than the clock."""
    clock: Iterator[int] = iter([NOON_MS, NOON_MS - 3_600_000, NOON_MS - 1, NOON_MS + 1])
    make = IdMaker(now_ms=clock.__next__, random_bits=ZEROS)
    made = [make() for _ in range(4)]
    assert made == sorted(set(made))
    assert [milliseconds(one) - NOON_MS for one in made] == [0, 0, 0, 1]


def test_the_same_clock_and_chance_make_the_same_ids() -> None:
    """A simulator replays them."""
    first, second = (
        IdMaker(now_ms=count(NOON_MS).__next__, random_bits=partial(Random(7).getrandbits, 64))
        for _ in range(2)
    )
    assert [first() for _ in range(10)] == [second() for _ in range(10)]


def test_makers_with_the_same_clock_differ_by_chance() -> None:
    """Two processes that start in the same millisecond share no id."""
    assert IdMaker(now_ms=lambda: NOON_MS)() != IdMaker(now_ms=lambda: NOON_MS)()


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    """Threads that take turns as often as they can."""
    usual_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual_s)


@pytest.mark.usefixtures("hasty_threads")
def test_threads_share_a_maker() -> None:
    """No id twice, and each thread sees its own increase."""
    make = standing(NOON_MS)

    def many() -> list[UUID]:
        return [make() for _ in range(5_000)]

    with ThreadPoolExecutor(8) as pool:
        made = [found.result() for found in [pool.submit(many) for _ in range(8)]]
    assert len({one for thread in made for one in thread}) == 40_000
    assert all(thread == sorted(thread) for thread in made)


def test_python_and_the_database_make_ids_that_sort_together(database_url: str) -> None:
    """Made in turns they are in the order of their making, as far as a millisecond tells."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        ours, theirs = [], []
        for _ in range(5):
            ours.append(new_id())
            connection.execute("select pg_sleep(0.002)")
            theirs.append(one(connection))
            connection.execute("select pg_sleep(0.002)")
    in_turns = [id_ for pair in zip(ours, theirs, strict=True) for id_ in pair]
    assert in_turns == sorted(in_turns)


def test_the_database_makes_uuids_of_version_7(database_url: str) -> None:
    """By its own clock, and no two alike."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        before_ms = now_ms(connection)
        rows = connection.execute(
            "select trioworker.new_id() from generate_series(1, 10000)"
        ).fetchall()
        after_ms = now_ms(connection)
    made = [row[0] for row in rows]
    assert {(id_.version, id_.variant) for id_ in made} == {(7, RFC_4122)}
    assert len(set(made)) == 10_000
    assert all(before_ms <= milliseconds(id_) <= after_ms for id_ in made)


def test_the_ids_of_one_session_sort_as_they_were_made(database_url: str) -> None:
    """To the microsecond: what was made in the same one may stand in any order."""
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "select n, trioworker.new_id() from generate_series(1, 10000) as n order by n"
        ).fetchall()
    moments = [(milliseconds(id_), counter(id_)) for _, id_ in rows]
    assert moments == sorted(moments)
    assert len(set(moments)) > 1


def one(connection: psycopg.Connection) -> UUID:
    """An id of the database's making."""
    row = connection.execute("select trioworker.new_id()").fetchone()
    assert row is not None
    made: UUID = row[0]
    return made


def now_ms(connection: psycopg.Connection) -> int:
    """The database's clock, in whole milliseconds that are over."""
    row = connection.execute(
        "select floor(extract(epoch from clock_timestamp()) * 1000)::bigint"
    ).fetchone()
    assert row is not None
    return int(row[0])


def test_a_derived_id_is_the_same_for_everybody() -> None:
    """It has the moment in it; no other moment, and no other facts, come to the same."""
    moment = datetime(2026, 3, 29, 1, tzinfo=UTC)
    made = derived_id(moment, "tick", "nightly")
    assert made == derived_id(moment.astimezone(timezone(timedelta(hours=2))), "tick", "nightly")
    assert (made.version, made.variant) == (7, RFC_4122)
    assert milliseconds(made) == moment.timestamp() * 1000
    others = [
        derived_id(moment + timedelta(microseconds=1), "tick", "nightly"),
        derived_id(moment, "tick", "nightl", "y"),
        derived_id(moment, "ticknightly"),
        derived_id(moment, "tick", 1),
    ]
    assert len({made, *others}) == 5
    assert derived_id(datetime(1960, 1, 1, tzinfo=UTC)).version == 7
