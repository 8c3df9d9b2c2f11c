"""A trace as a file, so that a run of one machine can be compared with that of another.

The format is one line of JSON that says what it is, then one line for each happening, as they are
hashed. Nothing is decoded: two runs are the same when their lines are.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from sim.trace import VERSION, Trace, line_of
from trioworker.errors import UsageError


class _Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    trace: int
    of: str


class Difference(NamedTuple):
    """The first place in which two traces differ, with what each has there."""

    place: int
    mine: str
    theirs: str


def save_trace(trace: Trace, path: Path, *, of: str) -> None:
    """Write `trace`, the one of the run called `of`. Raises `UsageError`."""
    try:
        with path.open("wb") as file:
            file.write(msgspec.json.encode(_Head(VERSION, of)) + b"\n")
            file.writelines(map(line_of, trace))
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None


def compare(trace: Trace, path: Path) -> Difference | None:
    """Where `trace` and the one in a file differ first; None when they are the same.

    Raises `UsageError` when the file is no trace, or one of another version.
    """
    theirs = _lines(path)
    for place, happening in enumerate(trace):
        mine, other = line_of(happening), next(theirs, b"")
        if mine != other:
            return Difference(place, _text(mine), _text(other))
    rest = next(theirs, b"")
    return Difference(len(trace), _text(b""), _text(rest)) if rest else None


def _lines(path: Path) -> Iterator[bytes]:
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    try:
        version = msgspec.json.decode(lines[0])["trace"]
    except (msgspec.DecodeError, LookupError, TypeError):
        raise UsageError(
            f"{path} is no trace; `python -m sim run --save-trace` makes one"
        ) from None
    if version != VERSION:
        raise UsageError(
            f"{path} is a trace of version {version}, and this simulator writes {VERSION};"
            " make it again"
        )
    return iter(lines[1:])


def _text(line: bytes) -> str:
    return line.decode(errors="replace").strip() or "(the end)"
