"""How the text of a setting becomes its value, and in which words it does not.

Rule of this file: a kind says its `shape` once, in words that mend what does not fit it.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Final, Literal, TypeAlias

from trioworker.errors import UsageError
from trioworker.model.job import TAG_BYTES_MAX
from trioworker.store.postgres.statements import check_schema_name

_ADDRESS: Final = re.compile(r"(?P<scheme>[^:/]*)://(?P<hosts>[^/?]*)")
_SCHEMES: Final = ("postgresql", "postgres")
_SWITCH: Final = {
    "1": True, "true": True, "yes": True, "on": True,
    "0": False, "false": False, "no": False, "off": False,
}  # fmt: skip


UnknownFunctions: TypeAlias = Literal["fail", "leave"]
"""What becomes of a job whose function this worker does not know."""


class LogLevel(StrEnum):
    """The least that is worth a line."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """Lines for people, lines for programs, or whichever suits where they go."""

    AUTO = "auto"
    CONSOLE = "console"
    JSON = "json"


@dataclass(frozen=True)
class ValueKind:
    """One kind of value.

    `read` raises `ValueError` for text that has not the `shape`, or `UsageError` to say more.
    `secret` values are never shown. A `flag_only` kind needs no text after its flag.
    """

    metavar: str
    shape: str
    read: Callable[[str], object]
    secret: bool = False
    flag_only: bool = False


def whole(low: int, high: int) -> ValueKind:
    """A whole number within bounds."""

    def read(value: str) -> int:
        number = int(value)
        if not low <= number <= high:
            raise ValueError
        return number

    return ValueKind("NUMBER", f"a whole number from {low} to {high}", read)


def seconds(*, zero: bool = False) -> ValueKind:
    """A span of time; `zero` when none at all makes sense."""

    def read(value: str) -> float:
        number = float(value)
        if not math.isfinite(number) or number < 0 or (number == 0 and not zero):
            raise ValueError
        return number

    bound = "0 or more" if zero else "more than 0"
    return ValueKind("SECONDS", f"a number of seconds, {bound}", read)


def choice(values: type[StrEnum]) -> ValueKind:
    """One of the words of an enum."""
    return replace(words(*values), read=values)


def words(*values: str) -> ValueKind:
    """One of a few words."""

    def read(value: str) -> str:
        if value not in values:
            raise ValueError
        return value

    return ValueKind("|".join(values), f"one of {', '.join(values)}", read)


def switch() -> ValueKind:
    """On or off."""

    def read(value: str) -> bool:
        try:
            return _SWITCH[value.lower()]
        except KeyError:
            raise ValueError from None

    return ValueKind("", "1 or 0 (also true, false, yes, no, on, off)", read, flag_only=True)


def text() -> ValueKind:
    """Any text."""
    return ValueKind("TEXT", "some text", str)


def folder() -> ValueKind:
    """A folder, which need not exist yet; `~` is the user's own."""
    return ValueKind("FOLDER", "a folder", lambda value: Path(value).expanduser())


def tag_list() -> ValueKind:
    """A list of tags, separated by commas; each counts once."""

    def read(value: str) -> tuple[str, ...]:
        found = tuple(dict.fromkeys(tag.strip() for tag in value.split(",") if tag.strip()))
        if not found:
            raise ValueError
        for tag in found:
            if (size := len(tag.encode())) > TAG_BYTES_MAX:
                raise UsageError(f"a tag of {size} bytes is too long; at most {TAG_BYTES_MAX}")
        return found

    return ValueKind("TAG,…", "at least one tag, several separated by commas", read)


def schema_name() -> ValueKind:
    """A name that can stand in SQL as it is."""
    return ValueKind("NAME", "a schema's name", check_schema_name)


def database_address() -> ValueKind:
    """An address that the driver understands; who cannot be reached is found out later."""

    def read(value: str) -> str:
        match = _ADDRESS.match(value)
        if match is None or match["scheme"] not in _SCHEMES:
            raise ValueError
        for host in match["hosts"].rpartition("@")[2].split(","):
            port = host.rpartition("]")[2].partition(":")[2]
            if port and not port.isdecimal():
                raise UsageError(f"the port {port!r} is not a number")
        return value

    return ValueKind(
        "URL", "an address such as postgresql://user:password@host:5432/name", read, secret=True
    )
