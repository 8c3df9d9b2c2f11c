"""What commands print: data on stdout, complaints on stderr, and nothing else anywhere."""

import sys
from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

PIPE_WIDTH = 10_000
"""A table that is read by a program is not broken into lines for its sake."""


def print_json(document: object) -> None:
    """One JSON document."""
    typer.echo(json_text(document))


def json_text(value: object) -> str:
    """`value` as JSON, on one line."""
    return msgspec.json.encode(value).decode()


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table as wide as the terminal; whole lines when nobody's terminal is there."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    console = Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)
    console.print(table, soft_wrap=not sys.stdout.isatty())


def complain(message: str) -> None:
    """One line on stderr."""
    sys.stderr.write(f"trioworker: {' '.join(message.split())}\n")


def shown_time(moment: datetime | None) -> str:
    """Local time to the second; empty when there is none."""
    return "" if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")
