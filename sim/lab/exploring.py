"""Many seeds on all cores: what was found, what was seen, and how fast it went.

Rule of this file: a finding is told when it comes, with the line that replays it. Whatever ends the
search early, the time or the person, what was found so far is told all the same.
"""

import itertools
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from sim.batch import Summary, Totals, summaries
from sim.counters import STATES
from trioworker.cli.output import counted, print_table
from trioworker.errors import TrioworkerError

REPLAY: Final = "python -m sim replay"


class LostProcess(TrioworkerError):
    """A process of the search died in the middle of a run: killed, or out of memory."""


@dataclass
class Search:
    """One search: what it has found so far."""

    seeds: Iterable[int]
    cores: int | None
    until_s: float | None
    totals: Totals = field(default_factory=Totals)
    wall_s: float = 0.0
    given: list[int] = field(default_factory=list)
    done: set[int] = field(default_factory=set)

    def summaries(self) -> Iterator[Summary]:
        """Search, and hand on each summary as it comes."""
        started_s = time.monotonic()
        try:
            for summary in summaries(self._in_time(started_s), cores=self.cores):
                self.totals.add(summary)
                self.done.add(summary.seed)
                self.wall_s = time.monotonic() - started_s
                yield summary
        except BrokenProcessPool:
            under_way = [seed for seed in self.given if seed not in self.done]
            shown = ", ".join(map(str, under_way))
            raise LostProcess(
                f"a process died that had one of these seeds: {shown}; run each by itself"
            ) from None

    def _in_time(self, started_s: float) -> Iterator[int]:
        for seed in self.seeds:
            if self.until_s is not None and time.monotonic() - started_s >= self.until_s:
                return
            self.given.append(seed)
            yield seed


def explore(search: Search, *, total: int | None, quiet: bool) -> None:
    """Search and tell findings as they come; a bar on a terminal shows how far it is."""
    with _bar(total, search) as advance:
        for summary in search.summaries():
            if summary.findings and not quiet:
                typer.echo(told(summary.seed, summary.findings))
            advance()


def told(seed: int, findings: Sequence[str]) -> str:
    """A seed's findings as the line that replays it."""
    more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
    return f"{REPLAY} {seed}    # {' '.join(findings[0].split())}{more}"


def report(search: Search) -> None:
    """The states that were seen, those that never were, and the figures."""
    totals = search.totals
    if not totals.runs:
        return
    print_table(("times", "state"), [(totals.states[s], s) for s in STATES if totals.states[s]])
    never = [state for state in STATES if not totals.states[state]]
    typer.echo(f"never seen: {', '.join(never) or 'none; every state was'}")
    typer.echo(_figures(search))


def summed_up(search: Search) -> dict[str, Any]:
    """The same for programs."""
    totals, wall_s = search.totals, search.wall_s or float("inf")
    return {
        "runs": totals.runs,
        "findings": {str(seed): list(found) for seed, found in sorted(totals.failed.items())},
        "states": {state: totals.states[state] for state in STATES},
        "never_seen": [state for state in STATES if not totals.states[state]],
        "wall_s": round(search.wall_s, 3),
        "cpu_s": round(totals.cpu_s, 3),
        "runs_per_s": round(totals.runs / wall_s, 2),
        "jobs_per_s": round(totals.jobs / wall_s, 1),
        "virtual_s_per_wall_s": round(totals.virtual_s / wall_s, 1),
    }


def _figures(search: Search) -> str:
    said = summed_up(search)
    failed = len(search.totals.failed)
    found = f"{counted(failed, 'seed')} with findings" if failed else "nothing found"
    return (
        f"{counted(said['runs'], 'run')} in {search.wall_s:.1f} s, {found}:"
        f" {said['runs_per_s']:,.1f} runs/s, {said['jobs_per_s']:,.0f} simulated jobs/s,"
        f" {said['virtual_s_per_wall_s']:,.0f} virtual s per wall s"
    )


@contextmanager
def _bar(total: int | None, search: Search) -> Iterator[Any]:
    columns = (
        BarColumn(bar_width=30),
        TaskProgressColumn(),
        TextColumn("{task.completed:,} seeds"),
        TextColumn("{task.fields[rate]:.1f}/s", style="green"),
        TextColumn("{task.fields[failed]:,} with findings"),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("", total=total, rate=0.0, failed=0)

        def advance() -> None:
            totals = search.totals
            rate = totals.runs / search.wall_s if search.wall_s else 0.0
            bar.update(task, advance=1, rate=rate, failed=len(totals.failed))

        yield advance


def endless(first: int) -> Iterator[int]:
    """All seeds from `first` on."""
    yield from itertools.count(first)
