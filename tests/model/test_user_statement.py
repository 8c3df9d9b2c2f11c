"""Statements that jobs hand over: what may be one, and the way from one process to another."""

import math
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import IntEnum
from typing import TypeVar
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trioworker.errors import UsageError
from trioworker.model.user_statement import (
    SQL_CHARS_MAX,
    STATEMENTS_MAX,
    UserStatement,
    hand_over,
    read,
    user_statement,
    written,
)


class DriverUUID(UUID):
    """As drivers have them, for speed."""


class Colour(IntEnum):
    """A number that is more than one."""

    RED = 1


T = TypeVar("T", datetime, time)


def unfolded(moment: T) -> T:
    """Without the flag for the hour that a clock shows twice; PostgreSQL has none either."""
    return moment.replace(fold=0)


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))
plain = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), texts,
    st.binary(), st.decimals(allow_nan=False, allow_infinity=False), st.uuids(), st.dates(),
    st.datetimes().map(unfolded), st.datetimes(timezones=st.just(UTC)).map(unfolded),
    st.times().map(unfolded),
    st.timedeltas(timedelta(days=-10_000), timedelta(days=10_000)),
)  # fmt: skip
values = st.recursive(plain, lambda inner: st.lists(inner, max_size=3), max_leaves=5)


@given(st.lists(st.tuples(texts, st.lists(values, max_size=5)), max_size=3))
def test_what_is_written_is_read(statements: list[tuple[str, list[object]]]) -> None:
    """Values have their types again on the other side."""
    handed = tuple(user_statement(f"select {text}", its) for text, its in statements)
    assert repr(read(written(handed).encode())) == repr(handed)


def test_no_number_is_one_on_the_other_side() -> None:
    """JSON has no NaN, and a statement may have one."""
    (statement,) = read(written([user_statement("select $1", [math.nan])]).encode())
    assert statement.values[0] != statement.values[0]


def test_ids_of_a_driver_are_ids() -> None:
    """A job's own id is of a class that only its driver knows."""
    (statement,) = read(written([user_statement("select $1", [DriverUUID(int=1)])]).encode())
    assert type(statement.values[0]) is UUID


def test_mappings_are_json_and_tuples_lists() -> None:
    """A mapping becomes the text that a jsonb column takes; a tuple is an array."""
    statement = user_statement("select $1, $2", [{"a": [1, None]}, (1, (2,))])
    assert statement.values == ('{"a":[1,null]}', [1, [2]])


@pytest.mark.parametrize(
    "sql",
    [
        "insert into t values (1)", "  Update t set x = 1", "-- why\nselect 1",
        "/* a */ (select 1)", "with a as (select 1) select 2;", "call p()",
        "/**/--\n\n merge into t using s on true",
    ],
)  # fmt: skip
def test_what_changes_rows_is_taken(sql: str) -> None:
    """The text stays as it is, comments before it included."""
    assert user_statement(sql, []) == UserStatement(sql, ())


@pytest.mark.parametrize(
    ("sql", "word"),
    [
        ("commit", "'commit'"), ("ROLLBACK", "'ROLLBACK'"), ("begin; select 1", "'begin'"),
        ("-- select\ncommit", "'commit'"), ("set role x", "'set'"),
        ("prepare transaction 'x'", "'prepare'"),
        ("/* a /* b */ insert */ commit", "nothing that is known"), ("", "nothing that is known"),
        ("listen x", "'listen'"), ("create table t ()", "'create'"), ("; commit", "nothing"),
    ],
)  # fmt: skip
def test_what_would_end_or_outlive_the_transaction_is_no_statement(sql: str, word: str) -> None:
    """The message says with what a statement begins, and with what this one does."""
    with pytest.raises(UsageError, match=rf"begins with one of call, .* begins with {word}"):
        user_statement(sql, [])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (2**63, r"\$2 is larger than a bigint; give a Decimal"),
        ("a\x00", r"\$2 is no text that PostgreSQL can hold"),
        (["\ud800"], r"\$2 is no text that PostgreSQL can hold"),
        (object(), r"\$2 is a object; values are None, bool, int"),
        (Colour.RED, r"\$2 is a Colour"),
        ({"a": object()}, r"\$2 cannot be written as JSON"),
    ],
)
def test_a_bad_value_is_named(value: object, message: str) -> None:
    """One line says which of them will not do, and why."""
    with pytest.raises(UsageError, match=message):
        user_statement("select $1, $2", [1, value])


def test_bounds() -> None:
    """A text, a list of values and a job's statements end somewhere."""
    with pytest.raises(UsageError, match="up to 100,000 characters"):
        user_statement("select " + "1" * SQL_CHARS_MAX, [])
    with pytest.raises(UsageError, match="up to 32,767 values, not 32,768"):
        user_statement("select 1", [1] * 32_768)
    handed = [user_statement("select 1", [])] * STATEMENTS_MAX
    with pytest.raises(UsageError, match="up to 1,000 statements; for more rows give arrays"):
        hand_over(handed, "select 1", [])


@pytest.mark.parametrize(
    "answer",
    [b"{}", b"[[1]]", b'[["select 1",[["uuid","x"]]]]', b'[["select 1",[["Path","x"]]]]',
     b'[["select 1",[1]]]', b'[["commit",[]]]'],
)  # fmt: skip
def test_what_nobody_has_written_is_no_statement(answer: bytes) -> None:
    """Another program may answer anything; nothing of it is run."""
    with pytest.raises(UsageError):
        read(answer)


def test_size_and_beginning() -> None:
    """For bounds and for messages."""
    known = UUID(int=1), date(2026, 1, 1), datetime(2026, 1, 1, tzinfo=UTC), time(1), Decimal(1)
    assert user_statement("select $1", ["x" * 1000, [b"y" * 500], *known]).size >= 1500
    long = user_statement("select\n    " + "1, " * 100 + "1", [])
    assert long.shown == "select " + ("1, " * 100)[:53] + "…"
