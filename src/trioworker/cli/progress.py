"""What a drain has done so far: a live line on a terminal, else a line in the log at times.

Rule of this file: the sink counts and nothing else; it is called once per batch. Drawing is a task
with its own pace.
"""

import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import trio

from trioworker.cli.sinks import Log
from trioworker.events import BatchPulled, BatchStored, CommitFailed, Event, WorkerStarted
from trioworker.model.failures import Step
from trioworker.settings import LogLevel

DRAW_EVERY_S: Final = 0.1
WRITE_EVERY_S: Final = 5.0


@dataclass
class Tally:
    """A sink that counts. `failed` are those of `stored` that failed; times are Trio's seconds."""

    pulls: int = 0
    pulled: int = 0
    batches: int = 0
    stored: int = 0
    failed: int = 0
    fallbacks: int = 0
    started_s: float = 0.0
    stored_s: float = 0.0

    def __call__(self, event: Event) -> None:
        """Count one event."""
        match event:
            case BatchStored(stored=stored, failed=failed):
                self.batches += 1
                self.stored += stored
                self.failed += failed
                self.stored_s = trio.current_time()
            case BatchPulled(jobs=jobs):
                self.pulls += 1
                self.pulled += len(jobs)
            case CommitFailed(step=Step.DIVIDE):
                self.fallbacks += 1
            case WorkerStarted():
                self.started_s = self.started_s or trio.current_time()

    @property
    def mean_batch(self) -> float:
        """Outcomes per commit."""
        return self.stored / self.batches if self.batches else 0.0

    @property
    def jobs_per_s(self) -> float:
        """From the worker's start to its last commit."""
        seconds = self.stored_s - self.started_s
        return self.stored / seconds if self.stored and seconds > 0 else 0.0

    def fields(self) -> dict[str, Any]:
        """The figures by name, as a log line has them."""
        return {
            "jobs": self.stored,
            "jobs_per_s": round(self.jobs_per_s),
            "failed": self.failed,
            "batches": self.batches,
            "mean_batch": round(self.mean_batch, 1),
            "fallbacks": self.fallbacks,
        }


Draw: TypeAlias = Callable[[], None]


@asynccontextmanager
async def showing(tally: Tally, log: Log, *, total: int | None) -> AsyncIterator[None]:
    """Show how `tally` grows towards `total` jobs for as long as this context lasts.

    Without a total nobody knows how many there are.
    """
    # A bar on the terminal would wrap the lines above it, and what is for programs stays whole.
    terminal = sys.stderr.isatty() and not log.is_json
    with _bar(tally, total) if terminal else nullcontext(_line(tally, log)) as draw:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_redraw, draw, DRAW_EVERY_S if terminal else WRITE_EVERY_S)
            yield
            nursery.cancel_scope.cancel()
        draw()


async def _redraw(draw: Draw, every_s: float) -> None:
    while True:
        await trio.sleep(every_s)
        draw()


def _line(tally: Tally, log: Log) -> Draw:
    return lambda: log.write(LogLevel.INFO, "progress", tally.fields())


OF_TOTAL: Final = "{task.completed:,} of {task.total:,} jobs"


@contextmanager
def _bar(tally: Tally, total: int | None) -> Iterator[Draw]:
    """A bar on stderr, which fits 80 columns; log lines written meanwhile appear above it."""
    # Rich takes a tenth of the time in which a command starts, and few commands draw.
    from rich.console import Console  # noqa: PLC0415 - see above
    from rich.progress import BarColumn, Progress, TextColumn  # noqa: PLC0415 - see above

    columns = (
        BarColumn(bar_width=30),
        TextColumn("{task.completed:,} jobs" if total is None else OF_TOTAL),
        TextColumn("{task.fields[jobs_per_s]:,}/s", style="green"),
        TextColumn("{task.fields[failed]:,} failed"),
        TextColumn("{task.fields[batches]:,} batches of {task.fields[mean_batch]:,}"),
        TextColumn("{task.fields[fallbacks]:,} fallbacks"),
    )
    # No thread of rich's own draws: the task above does, between two batches.
    with Progress(*columns, console=Console(stderr=True), auto_refresh=False) as bar:
        task = bar.add_task("", total=total, **tally.fields())

        def draw() -> None:
            most = max(total or 0, tally.stored)
            bar.update(task, total=most, completed=tally.stored, **tally.fields())
            bar.refresh()

        yield draw
