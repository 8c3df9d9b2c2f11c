"""SQL that a job hands over, to be run in the transaction that stores its success.

Rule of this file: pure. The text is the user's: it is looked at and never changed. Values are of
types that keep their type on the way between two processes.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final, TypeAlias
from uuid import UUID

import msgspec

from trioworker.errors import UsageError

Value: TypeAlias = (
    "bool | int | float | str | bytes | Decimal | UUID | datetime | date | time | timedelta"
    " | Sequence[Value] | None"
)

STATEMENTS_MAX: Final = 1_000
SQL_CHARS_MAX: Final = 100_000
VALUES_MAX: Final = 32_767
TEXT_SHOWN: Final = 60
BIGINT_MAX: Final = 2**63 - 1

VERBS: Final = frozenset(
    {
        "call", "delete", "do", "insert", "lock", "merge", "notify", "select", "update", "values",
        "with",
    }
)  # fmt: skip
"""What may begin a statement: none of these ends the transaction or outlives it on its line."""

_FIRST_WORD: Final = re.compile(
    r"(?: \s | \( | --[^\n]*(?:\n|$) | /\* (?: (?!/\*). )*? \*/ )* (?P<word>\w+)",
    re.VERBOSE | re.DOTALL,
)
_TYPES: Final[Mapping[str, type]] = {
    kind.__name__: kind
    for kind in (
        bool, int, float, str, bytes, Decimal, UUID, datetime, date, time, timedelta, type(None)
    )
}  # fmt: skip
_LIST: Final = "list"
_read: Final = msgspec.json.Decoder(list[tuple[str, list[Any]]]).decode


class UserStatement(msgspec.Struct, frozen=True):
    """One statement, with the values of its $1, $2 and so on. Made by `user_statement`."""

    sql: str
    values: tuple[Value, ...]

    @property
    def size(self) -> int:
        """About how many bytes it is."""
        return len(self.sql) + _size(self.values)

    @property
    def shown(self) -> str:
        """How it begins, on one line, for messages."""
        text = " ".join(self.sql.split())
        return text if len(text) <= TEXT_SHOWN else f"{text[:TEXT_SHOWN]}…"


def user_statement(sql: str, values: Sequence[object]) -> UserStatement:
    """The statement; mappings become JSON text. Raises `UsageError`."""
    text: object = sql
    if not isinstance(text, str) or "\x00" in text or len(text) > SQL_CHARS_MAX:
        raise UsageError(f"a statement is a text of up to {SQL_CHARS_MAX:,} characters without NUL")
    if len(values) > VALUES_MAX:
        raise UsageError(f"a statement takes up to {VALUES_MAX:,} values, not {len(values):,}")
    first = _FIRST_WORD.match(sql)
    if first is None or first["word"].lower() not in VERBS:
        word = repr(first["word"]) if first else "nothing that is known"
        raise UsageError(
            "a statement that is committed with a job begins with one of"
            f" {', '.join(sorted(VERBS))}; this one begins with {word}"
        )
    checked = (_checked(value, f"${n}") for n, value in enumerate(values, start=1))
    return UserStatement(sql, tuple(checked))


def hand_over(statements: list[UserStatement], sql: str, values: Sequence[object]) -> None:
    """Add one to those of a job. Raises `UsageError`."""
    if len(statements) >= STATEMENTS_MAX:
        raise UsageError(
            f"a job hands over up to {STATEMENTS_MAX:,} statements; for more rows give arrays"
        )
    statements.append(user_statement(sql, values))


def written(statements: Iterable[UserStatement]) -> str:
    """The statements as JSON, with the type of each value."""
    plain = [(one.sql, [_typed(value) for value in one.values]) for one in statements]
    return msgspec.json.encode(plain).decode()


def read(json: bytes) -> tuple[UserStatement, ...]:
    """What was `written`. Raises `UsageError` when it was not, or could not be handed over."""
    try:
        plain = _read(json)
        return tuple(user_statement(sql, list(map(_untyped, values))) for sql, values in plain)
    except (msgspec.MsgspecError, LookupError, TypeError, ValueError) as error:
        raise UsageError(f"these are no statements: {error}") from None


def _checked(value: object, where: str) -> Value:
    if isinstance(value, Mapping):
        try:
            return msgspec.json.encode(value).decode()
        except (TypeError, ValueError) as error:
            raise UsageError(f"the value of {where} cannot be written as JSON: {error}") from None
    if isinstance(value, list | tuple):
        return [_checked(item, where) for item in value]
    if isinstance(value, UUID):
        return UUID(int=value.int)  # a driver has a class of its own for them
    if type(value).__name__ not in _TYPES or type(value) is not _TYPES[type(value).__name__]:
        kinds = ", ".join(kind for kind in _TYPES if kind != "NoneType")
        raise UsageError(
            f"the value of {where} is a {type(value).__name__}; values are None, {kinds}, lists of"
            " these, and mappings as JSON"
        )
    if isinstance(value, int) and not -BIGINT_MAX - 1 <= value <= BIGINT_MAX:
        raise UsageError(f"the value of {where} is larger than a bigint; give a Decimal")
    if isinstance(value, str) and not _is_text(value):
        raise UsageError(f"the value of {where} is no text that PostgreSQL can hold")
    known: Value = value  # type: ignore[assignment]  # its type is in the table
    return known


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return "\x00" not in value


def _typed(value: Value) -> list[object]:
    if isinstance(value, list):
        return [_LIST, [_typed(item) for item in value]]
    # JSON has no NaN and no infinity.
    return [type(value).__name__, str(value) if isinstance(value, float) else value]


def _untyped(pair: list[Any]) -> Value:
    kind, value = pair
    if kind == _LIST:
        return [_untyped(item) for item in value]
    known: Value = msgspec.convert(value, _TYPES[kind], strict=False)
    return known


def _size(value: Value) -> int:
    if isinstance(value, list | tuple):
        return sum(map(_size, value))
    return len(value) if isinstance(value, str | bytes) else 16
