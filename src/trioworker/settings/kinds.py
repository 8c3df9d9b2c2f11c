"""How the text of a setting becomes its value, and in which words it does not.

Rule of this file: a kind says its `shape` once, in words that mend what does not fit it.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from typing import Final, Literal, NamedTuple, TypeAlias
from urllib.parse import urlsplit

from trioworker.errors import UsageError
from trioworker.model.bounds import TAG_BYTES_MAX
from trioworker.model.tags import MARK, RANK_MAX, RANK_MIN, Tags
from trioworker.store.postgres.statements import check_schema_name

SECONDS_MIN: Final = 0.01
"""A worker that looks or renews more often than this does little else."""
SECONDS_MAX: Final = 365 * 24 * 3600
DAYS_MAX: Final = 36_500
"""Spans are handed to PostgreSQL, whose intervals have an end; nobody needs a longer one."""
TEXT_BYTES_MAX: Final = 200
PORT_MAX: Final = 65_535
SECRET_CHARS_MAX: Final = 200

_ADDRESS: Final = re.compile(r"(?P<scheme>[^:/]*)://(?P<hosts>[^/?#]*)")
_LISTEN: Final = re.compile(
    r"(?:(?P<name>[A-Za-z0-9._-]{1,253})|\[(?P<six>[0-9A-Fa-f:.%a-z]+)\]):(?P<port>[0-9]{1,5})"
)
_SECRET: Final = re.compile(r"[A-Za-z0-9._~+/=-]+")
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
    low = 0 if zero else SECONDS_MIN

    def read(value: str) -> float:
        number = float(value)
        if not low <= number <= SECONDS_MAX:
            raise ValueError
        return number

    return ValueKind("SECONDS", f"a number of seconds from {low} to {SECONDS_MAX}", read)


def days() -> ValueKind:
    """A longer span of time; 0 for without end."""

    def read(value: str) -> float:
        number = float(value)
        if not 0 <= number <= DAYS_MAX:
            raise ValueError
        return number

    return ValueKind("DAYS", f"a number of days from 0 to {DAYS_MAX}", read)


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
    """Text that fits a column of a list."""

    def read(value: str) -> str:
        if not 1 <= _bytes(value) <= TEXT_BYTES_MAX:
            raise ValueError
        return value

    return ValueKind("TEXT", f"text in UTF-8, at most {TEXT_BYTES_MAX} bytes", read)


def folder() -> ValueKind:
    """A folder, which need not exist yet; `~` is the user's own."""

    def read(value: str) -> Path:
        if not _bytes(value):
            raise ValueError  # it would be the current folder
        try:
            return Path(value).expanduser()
        except RuntimeError:
            raise UsageError("there is no such user; write the folder without ~") from None

    return ValueKind("FOLDER", "a folder", read)


def tag_list() -> ValueKind:
    """A list of tags, separated by commas, each with a rank or without; each counts once."""

    def read(value: str) -> Tags:
        ranks: dict[str, int] = {}
        for one in filter(None, map(str.strip, value.split(","))):
            tag, rank = _ranked_tag(one)
            if ranks.setdefault(tag, rank) != rank:
                raise UsageError(
                    f"the tag '{_plain(tag)}' has two ranks, {ranks[tag]} and {rank}; drop one"
                )
        if not ranks:
            raise ValueError
        return Tags(tuple(ranks), tuple(ranks.values()))

    return ValueKind(
        "TAG[=RANK],…",
        "one or more tags in UTF-8, separated by commas, each with a rank if you like: TAG=10",
        read,
    )


def _ranked_tag(one: str) -> tuple[str, int]:
    """A tag and its rank. What stands before the last mark is the tag, so any tag can be served."""
    before, mark, after = one.rpartition(MARK)
    tag = before.strip() if mark else after
    if (size := _bytes(tag)) > TAG_BYTES_MAX:
        raise UsageError(f"a tag of {size} bytes is too long; at most {TAG_BYTES_MAX}")
    if not tag:
        raise UsageError(f"{one!r} ranks no tag; write TAG=10")
    return tag, _rank(tag, after.strip()) if mark else 0


def _rank(tag: str, rank: str) -> int:
    try:
        number = int(rank)
    except ValueError:
        number = RANK_MAX + 1
    if not RANK_MIN <= number <= RANK_MAX:
        tag, rank = _plain(tag), _plain(rank)
        raise UsageError(
            f"the rank of the tag '{tag}' is '{rank}'; give a whole number from {RANK_MIN} to"
            f" {RANK_MAX}, or write {tag}{MARK}{rank}{MARK}0 if that is a tag"
        )
    return number


def _plain(text: str) -> str:
    """Text as it can be shown on a line."""
    return text if text.isprintable() else repr(text)[1:-1]


def _bytes(value: str) -> int:
    """The size of `value`. Raises `ValueError` when PostgreSQL could not store it as text."""
    if "\x00" in value:
        raise ValueError
    return len(value.encode())


def schema_name() -> ValueKind:
    """A name that can stand in SQL as it is."""
    return ValueKind("NAME", "a schema's name", check_schema_name)


class Address(NamedTuple):
    """Where a server listens. `asked` is False for one that nobody chose."""

    host: str
    port: int
    asked: bool = True

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_local(self) -> bool:
        """Whether no other host can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False


def listen_address() -> ValueKind:
    """Where to listen; the port 0 is any that is free, and no host is nowhere."""

    def read(value: str) -> Address:
        if value.strip() == "off":
            return Address("", 0)
        match = _LISTEN.fullmatch(value.strip())
        if match is None or not _bytes(value) or int(match["port"]) > PORT_MAX:
            raise ValueError
        return Address(match["name"] or match["six"], int(match["port"]))

    return ValueKind("HOST:PORT", "an address such as 127.0.0.1:8600, or off", read)


def secret_word(chars_min: int, chars_max: int = SECRET_CHARS_MAX) -> ValueKind:
    """A secret that fits a header as it stands, and is too long to be guessed."""

    def read(value: str) -> str:
        if not _SECRET.fullmatch(value) or not chars_min <= len(value) <= chars_max:
            raise ValueError
        return value

    shape = f"{chars_min} to {chars_max} letters, digits and -._~+/="
    return ValueKind("SECRET", shape, read, secret=True)


def server_address() -> ValueKind:
    """Where a server of ours is, for those who ask it."""

    def read(value: str) -> str:
        parts = urlsplit(value.strip())
        if parts.scheme not in ("http", "https") or not parts.hostname or not _bytes(value):
            raise ValueError
        if parts.username is not None or parts.query or parts.fragment:
            raise UsageError("write it without a user, ? and #; an agent is known by AGENT_TOKEN")
        _check_port(parts.netloc)
        return value.strip().rstrip("/")

    # Secret, because of a password that somebody may have put into it.
    return ValueKind("URL", "an address such as http://server:8600", read, secret=True)


def database_address() -> ValueKind:
    """An address that the driver understands; who cannot be reached is found out later."""

    def read(value: str) -> str:
        match = _ADDRESS.match(value)
        if match is None or match["scheme"] not in _SCHEMES or not _bytes(value):
            raise ValueError
        for host in match["hosts"].rpartition("@")[2].split(","):
            _check_port(host)
        urlsplit(value)
        return value

    return ValueKind(
        "URL", "an address such as postgresql://user:password@host:5432/name", read, secret=True
    )


def _check_port(host: str) -> None:
    """What stands in the place of a port may be half of a password: never show it."""
    port = host.rpartition("]")[2].partition(":")[2]
    if port and not (port.isdecimal() and 1 <= int(port) <= PORT_MAX):
        raise UsageError(
            f"the port is not a number from 1 to {PORT_MAX}; in a password write / as %2F, ? as"
            " %3F, # as %23"
        )
