"""What commands print: data on stdout, complaints on stderr, and nothing else anywhere."""

import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Final, TextIO, cast

import msgspec
import typer
from rich.cells import cell_len, set_cell_size

GAP: Final = "  "
LAST_COLUMN_MIN: Final = 30


def print_json(document: object) -> None:
    """One JSON document."""
    typer.echo(json_text(document))


def json_text(value: object) -> str:
    """`value` as JSON, on one line."""
    return msgspec.json.encode(value).decode()


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A row is a line. On a terminal the last column is cut to what fits, the others never are.

    An id that is cut, or broken in two, cannot be copied.
    """
    lines = [list(columns), *([on_one_line(cell) for cell in row] for row in rows)]
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)][:-1]
    rest = max(LAST_COLUMN_MIN, _columns() - sum(widths) - len(GAP) * len(widths))
    for line in lines:
        cells = [*map(set_cell_size, line[:-1], widths), shortened(line[-1], rest)]
        text = GAP.join(cells).rstrip()
        typer.echo(typer.style(text, bold=True) if line is lines[0] else text)


def on_one_line(value: object) -> str:
    """What somebody else wrote, in characters that neither end a line nor steer a terminal."""
    text = str(value)
    return text if text.isprintable() else repr(text)[1:-1]


def shortened(text: str, cells_max: int) -> str:
    """`text`, cut so that it takes at most so many cells of a terminal."""
    return text if cell_len(text) <= cells_max else f"{set_cell_size(text, cells_max - 1)}…"


def counted(count: int, noun: str) -> str:
    """`1 job`, `2,000 jobs`."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def complain(message: str) -> None:
    """One line on stderr, if anybody is there to read it."""
    with suppress(OSError):
        sys.stderr.write(f"trioworker: {on_one_line(' '.join(message.split()))}\n")


def begin_output() -> None:
    """Give stdout a place to go when whoever started us has closed it."""
    if cast("TextIO | None", sys.stdout) is None:
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - to the end


def finish_output() -> None:
    """Write what is still held back. Raises `OSError` when nothing takes what is on stdout."""
    with suppress(OSError):
        _finish(sys.stderr)
    _finish(sys.stdout)


def shown_time(moment: datetime | None) -> str:
    """Local time to the second; empty when there is none."""
    return "" if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _columns() -> int:
    """How many cells a line has; without bounds when no terminal shows it."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize


def _finish(stream: TextIO) -> None:
    try:
        stream.flush()
    except OSError:
        # Or the interpreter tries again on its way out, and ends with a status of its own.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        raise
