"""A difference as a table to read: what was done, what PostgreSQL did, what the model did."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import zip_longest
from textwrap import wrap
from typing import Final
from uuid import UUID

from sim.database.rows import Row
from sim.differential.answers import Seen, shown_rows
from sim.differential.compare import ENDING, Difference
from sim.differential.history import BASE, HOUR, NAMES, Step

WIDTHS: Final = (3, 46, 44, 44)
HEADINGS: Final = ("", "step", "PostgreSQL", "the model")
TEXT_MAX: Final = 30


def report(difference: Difference) -> str:
    """The history with both answers, up to the first difference, which is marked."""
    history, first = difference.history, difference.step
    lines = ["The model and PostgreSQL differ.", "", "At the beginning:"]
    lines += [f"  {table}: {_row(row)}" for table, rows in history.scene.items() for row in rows]
    lines += ["", *_cells(HEADINGS), *_cells(["-" * width for width in WIDTHS])]
    pairs = zip(difference.real.seen, difference.modelled.seen, strict=True)
    for number, (step, (real, modelled)) in enumerate(zip(history.steps, pairs, strict=True)):
        is_ours = number < len(history.steps) - ENDING
        if is_ours or _seen(real) or number == first:
            lines += _cells([str(number), _step(step), _seen(real), _seen(modelled)])
        if number == first:
            lines += ["", f"^^^ step {number} is the first that differs"]
            return "\n".join(lines)
    at_the_end = "^^^ all steps agree, but the rows at the end differ:"
    return "\n".join([*lines, "", at_the_end, *_contents(difference)])


def _cells(texts: Sequence[str]) -> list[str]:
    """One row of the table, in as many lines as its longest cell wants."""
    cells = [wrap(text, width) or [""] for text, width in zip(texts, WIDTHS, strict=True)]
    return [
        "  ".join(part.ljust(width) for part, width in zip(line, WIDTHS, strict=True)).rstrip()
        for line in zip_longest(*cells, fillvalue="")
    ]


def _step(step: Step) -> str:
    arguments = ", ".join(_shown(argument) for argument in step.arguments)
    return f"{step.session}: {step.what}{f' ({arguments})' if step.arguments else ''}"


def _seen(seen: Seen) -> str:
    parts = [f"{session}: {answer}" for session, answer in sorted(seen.ended.items())]
    parts += [
        f"{session} waits for {', '.join(map(str, sorted(who)))}"
        for session, who in sorted(seen.blocked.items())
    ]
    parts += [f"heard {channel} {_named(told)}" for channel, told in seen.heard]
    return " | ".join(parts)


def _named(text: str) -> str:
    """A notification's payload: an id by its name."""
    try:
        return NAMES.get(UUID(text), text)
    except ValueError:
        return text


def _contents(difference: Difference) -> Iterator[str]:
    for table, real in difference.real.contents.items():
        modelled = difference.modelled.contents[table]
        for who, rows, others in (
            ("PostgreSQL", real, modelled),
            ("the model", modelled, real),
        ):
            yield from (
                f"  {table}: {who} only: {shown_rows([r])}" for r in rows if r not in others
            )


def _row(row: Row) -> str:
    fields = ((field, getattr(row, field)) for field in row.__struct_fields__)
    return ", ".join(f"{field} {_shown(value)}" for field, value in fields if value is not None)


def _shown(value: object) -> str:
    match value:
        case UUID():
            return NAMES.get(value, str(value))
        case datetime():
            return f"start{round((value - BASE) / HOUR):+d}h"
        case list() | tuple():
            return f"[{', '.join(_shown(each) for each in value)}]"
        case str():
            return repr(value if len(value) <= TEXT_MAX else f"{value[:TEXT_MAX]}…")
        case _:
            return str(value)
