r"""What a column refuses, with the SQLSTATE that PostgreSQL gives for it.

Rule of this file: stricter than the real thing is a known gap, laxer is a bug. Known gaps: the
text of jsonb is kept as it was written and not in PostgreSQL's own spelling; a number is refused
from 10^400 on and below 10^-400, and when it is written with more than 4,000 characters (where
PostgreSQL takes 131,072 digits before the point and 16,383 after it); JSON may be about 900 deep
(some 6,000); a time ends with the year 9999. Of two defects in one text the model may name the
other.
"""

import json
import re
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final, TypeVar

from trioworker.errors import StoreError
from trioworker.store.postgres.sqlstates import error_class

T = TypeVar("T")

INTEGER_MAX: Final = 2**31 - 1
SMALLINT_MAX: Final = 2**15 - 1
EXPONENT_MAX: Final = 400
NUMBER_CHARS_MAX: Final = 4_000

_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
_ESCAPED_NUL: Final = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_ESCAPED_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")
_LONG_EXPONENT: Final = re.compile(r"\d[eE][+-]?(\d{3,})")
_LONG_NUMBER: Final = re.compile(rf"[\d.]{{{NUMBER_CHARS_MAX + 1},}}")


def refusal(sqlstate: str, message: str) -> StoreError:
    """The error of ours that a server's error with this code becomes."""
    return error_class(sqlstate)(message, sqlstate=sqlstate)


def jsonb(value: str) -> str:
    """A jsonb column's value. Raises `Refused`."""
    if "\\u" in value:
        _check_escapes(value)
    if len(value) > NUMBER_CHARS_MAX or _LONG_EXPONENT.search(value):
        _check_numbers(value)
    try:
        _parsed(value)
    except ValueError as error:
        raise refusal("22P02", "invalid input syntax for type json") from error
    except RecursionError as error:
        raise refusal("54001", "stack depth limit exceeded") from error
    return value


@lru_cache(maxsize=1_000)
def _parsed(value: str) -> None:
    """Raises what the parser raises; the same few texts come again and again."""
    json.loads(value, parse_constant=_no_constant)


def integer(value: int) -> int:
    """An integer column's value. Raises `Refused` (22003)."""
    return _within(value, INTEGER_MAX, "integer")


def smallint(value: int) -> int:
    """A smallint column's value. Raises `Refused` (22003)."""
    return _within(value, SMALLINT_MAX, "smallint")


def not_null(value: T | None, column: str) -> T:
    """The value. Raises `Refused` (23502) when there is none."""
    if value is None:
        raise refusal("23502", f'null value in column "{column}" violates not-null constraint')
    return value


def later(moment: datetime, seconds: float) -> datetime:
    """The moment so many seconds later. Raises `Refused` (22008)."""
    try:
        return moment + timedelta(seconds=seconds)
    except (OverflowError, ValueError) as error:
        raise refusal("22008", "interval or timestamp out of range") from error


def check(holds: bool, constraint: str) -> None:  # noqa: FBT001 - reads as the constraint does
    """Raises `Refused` (23514) unless the constraint `holds`."""
    if not holds:
        raise refusal("23514", f'new row violates check constraint "{constraint}"')


def _within(value: int, bound: int, kind: str) -> int:
    if not -bound - 1 <= value <= bound:
        raise refusal("22003", f"{kind} out of range")
    return value


def _check_escapes(value: str) -> None:
    if _ESCAPED_NUL.search(value):
        raise refusal("22P05", "unsupported Unicode escape sequence: \\u0000 cannot be text")
    if _ESCAPED_SURROGATE.search(value):
        try:
            json.dumps(json.loads(value), ensure_ascii=False).encode()
        except ValueError as error:
            raise refusal(
                "22P02", "invalid input syntax for type json: a lone surrogate"
            ) from error


def _check_numbers(value: str) -> None:
    """Look at the numbers outside of strings."""
    outside = _STRING.sub('""', value)
    exponents = (int(found[1]) for found in _LONG_EXPONENT.finditer(outside))
    if _LONG_NUMBER.search(outside) or any(each >= EXPONENT_MAX for each in exponents):
        raise refusal("22003", "value overflows numeric format")


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
