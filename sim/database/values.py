r"""What a column refuses, with the SQLSTATE that PostgreSQL gives for it.

Rule of this file: stricter than the real thing is a known gap, laxer is a bug. Known gaps: the
text of jsonb is kept as it was written and not in PostgreSQL's own spelling; numbers are refused
from 10^400 on where PostgreSQL takes up to 131,072 digits.
"""

import json
import re
from typing import Final

from trioworker.errors import StoreError
from trioworker.store.postgres.sqlstates import error_class

INTEGER_MAX: Final = 2**31 - 1
SMALLINT_MAX: Final = 2**15 - 1

_ESCAPED_NUL: Final = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_ESCAPED_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")
_LONG_EXPONENT: Final = re.compile(r"\d[eE]\+?\d{3,}")


def refusal(sqlstate: str, message: str) -> StoreError:
    """The error of ours that a server's error with this code becomes."""
    return error_class(sqlstate)(message, sqlstate=sqlstate)


def text(value: str) -> str:
    """A text column's value. Raises `Refused` (22021) for what UTF-8 without NUL cannot hold."""
    if "\x00" in value:
        raise refusal("22021", 'invalid byte sequence for encoding "UTF8": 0x00')
    return value


def jsonb(value: str) -> str:
    """A jsonb column's value. Raises `Refused`."""
    text(value)
    if "\\u" in value:
        _check_escapes(value)
    if _LONG_EXPONENT.search(value):
        _check_exponents(value)
    try:
        json.loads(value, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise refusal("22P02", "invalid input syntax for type json") from error
    return value


def integer(value: int) -> int:
    """An integer column's value. Raises `Refused` (22003)."""
    return _within(value, INTEGER_MAX, "integer")


def smallint(value: int) -> int:
    """A smallint column's value. Raises `Refused` (22003)."""
    return _within(value, SMALLINT_MAX, "smallint")


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


def _check_exponents(value: str) -> None:
    exponents = (int(found[0].lower().partition("e")[2]) for found in _exponents(value))
    if any(exponent >= 400 for exponent in exponents):  # noqa: PLR2004 - see the rule above
        raise refusal("22003", "value overflows numeric format")


def _exponents(value: str) -> list[re.Match[str]]:
    """Numbers with long exponents, outside of strings."""
    outside = re.sub(r'"(?:[^"\\]|\\.)*"', '""', value)
    return list(_LONG_EXPONENT.finditer(outside))


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
