"""How far a job has come, by its own account, shown while somebody waits for it.

On a terminal it is a bar, elsewhere a line on stderr now and then. Nobody waits for this: it looks
with a pace of its own, and a look that fails is left out.
"""

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final, Self, TypeAlias
from uuid import UUID

import trio

from trioworker.cli.output import on_one_line, shortened
from trioworker.client import Client
from trioworker.errors import StoreError, UnknownJob
from trioworker.model.state import JobProgress

if TYPE_CHECKING:
    from rich.progress import Progress

LOOK_EVERY_S: Final = 0.5
WRITE_EVERY_S: Final = 5.0
BAR_CELLS: Final = 30
NOTE_CELLS_MAX: Final = 40

Show: TypeAlias = Callable[[JobProgress], None]


@asynccontextmanager
async def showing_progress(client: Client, job: UUID, *, lines: bool) -> AsyncIterator[None]:
    """Show what the job tells for as long as this context lasts.

    Where there is no terminal, as lines or not at all.
    """
    terminal = sys.stderr.isatty()
    if not (terminal or lines):
        yield
        return
    with _Bar() as bar:
        async with trio.open_nursery() as nursery:
            if terminal:
                nursery.start_soon(_look, client, job, LOOK_EVERY_S, bar.show)
            else:
                nursery.start_soon(_look, client, job, WRITE_EVERY_S, _write)
            yield
            nursery.cancel_scope.cancel()


def in_words(told: JobProgress) -> str:
    """`40 %: four of ten files`, on one line."""
    note = f": {on_one_line(told.note)}" if told.note else ""
    return f"{told.fraction:.0%}".replace("%", " %") + note


async def _look(client: Client, job: UUID, every_s: float, show: Show) -> None:
    shown: JobProgress | None = None
    while True:
        await trio.sleep(every_s)
        with suppress(StoreError, UnknownJob):
            told = (await client.job(job)).progress
            if told is not None and told != shown:
                show(told)
                shown = told


def _write(told: JobProgress) -> None:
    with suppress(OSError):
        sys.stderr.write(f"{in_words(told)}\n")


class _Bar:
    """A bar on stderr, from the first time that there is something to show until it is left."""

    def __init__(self) -> None:
        self._open = ExitStack()
        self._bar: Progress | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        sys.stdout.flush()  # rich holds back a line that has no end yet
        self._open.close()

    def show(self, told: JobProgress) -> None:
        """Move it."""
        if self._bar is None:
            self._bar = self._begun()
        note = shortened(on_one_line(told.note), NOTE_CELLS_MAX)
        self._bar.update(self._bar.task_ids[0], completed=told.fraction, note=note)
        self._bar.refresh()

    def _begun(self) -> "Progress":
        # Rich takes a tenth of the time in which a command starts, and few commands draw.
        from rich.console import Console  # noqa: PLC0415 - see above
        from rich.progress import BarColumn, Progress, TextColumn  # noqa: PLC0415 - see above

        columns = (
            BarColumn(bar_width=BAR_CELLS),
            TextColumn("{task.percentage:.0f} %", style="green"),
            TextColumn("{task.fields[note]}", markup=False),
        )
        # No thread of rich's own draws: each look does. What is printed meanwhile appears above it,
        # but only where both go to the terminal.
        bar = Progress(
            *columns,
            console=Console(stderr=True),
            auto_refresh=False,
            transient=True,
            redirect_stdout=sys.stdout.isatty(),
        )
        bar.add_task("", total=1.0, note="")
        return self._open.enter_context(bar)
