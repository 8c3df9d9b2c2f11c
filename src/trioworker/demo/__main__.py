"""`make run`: fill a queue, drain it part by part, and tell what happened.

Rule of this file: the worker is the one of `trioworker run --drain`, by the same function.
"""

import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

import msgspec
import trio
from rich.console import Console
from rich.table import Table

from trioworker.cli.exits import ExitStatus
from trioworker.cli.guard import guarded
from trioworker.cli.output import complain
from trioworker.cli.place import open_place
from trioworker.cli.progress import Tally
from trioworker.cli.run import told
from trioworker.cli.work import work_at
from trioworker.client import Client, open_client
from trioworker.demo.jobs import app
from trioworker.demo.parts import SCRIPTS_DIR, Part, parts
from trioworker.model.batching import Mode
from trioworker.model.tags import unranked
from trioworker.settings import LogFormat, LogLevel, Settings, read_settings
from trioworker.store.postgres.embedded import default_data_dir

out: Final = Console(highlight=False)


@dataclass(frozen=True)
class Done:
    """A part that was drained; `jobs` are the ids that this run enqueued."""

    part: Part
    jobs: Sequence[UUID]
    tally: Tally


async def demo() -> ExitStatus:
    """Run all parts; the first signal stops it in order."""
    settings = _settings()
    async with open_place(settings) as url, open_client(url) as client:
        out.print(f"PostgreSQL keeps the jobs in {_folder(settings)}")
        done: list[Done] = []
        for part in parts():
            jobs = await _enqueue(client, part)
            tally = Tally()
            served = msgspec.structs.replace(settings, tags=unranked(part.tag))
            report = await work_at(url, served, app, tally, drain=True)
            done.append(Done(part, jobs, tally))
            if report.unsaved or report.forced:
                return told(report)
            if tally.stored < len(jobs):
                complain("stopped before the end; run it again and it goes on")
                return ExitStatus.FAILED
        await _tell(client, done, settings)
    return ExitStatus.OK


def _settings() -> Settings:
    """Batches, in the embedded PostgreSQL whatever DATABASE_URL says: it is nobody else's."""
    flags = {
        "mode": Mode.AGENT_BATCH,
        "scripts_dir": str(SCRIPTS_DIR),
        "log_level": LogLevel.WARNING if sys.stderr.isatty() else LogLevel.INFO,
        "log_format": LogFormat.CONSOLE,
    }
    return read_settings(flags, os.environ, names=(*flags, "data_dir"))


def _folder(settings: Settings) -> Path:
    return settings.data_dir or default_data_dir()


async def _enqueue(client: Client, part: Part) -> Sequence[UUID]:
    out.print(f"\n[bold]{part.title}[/]: {len(part.arguments):,} jobs")
    return await client.enqueue_many(part.jobs())


async def _tell(client: Client, done: Sequence[Done], settings: Settings) -> None:
    out.print()
    out.print(_table(done))
    stdlib = done[0]
    out.print(f"\nThe standard library: {await _sums(client, stdlib)}.")
    if stdlib.tally.failed:
        out.print(
            f"{stdlib.tally.failed:,} of its files are not valid Python on purpose, as data for its"
            " own tests; their jobs failed and say why."
        )
    paths = ", ".join(one.part.path for one in done)
    out.print(
        f"The results are in the table trioworker.job_completed of the PostgreSQL in"
        f" {_folder(settings)}, by path: {paths}.\n"
    )
    out.print("Try next:")
    for command in _commands(done, await _a_failure(client, stdlib)):
        out.print(f"  {command}", soft_wrap=True)


def _table(done: Sequence[Done]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("part")
    for column in ("jobs", "jobs/s", "batches", "mean batch", "fallbacks", "failures"):
        table.add_column(column, justify="right")
    for one in done:
        tally = one.tally
        table.add_row(
            one.part.title,
            f"{tally.stored:,}",
            f"{tally.jobs_per_s:,.0f}",
            f"{tally.batches:,}",
            f"{tally.mean_batch:.1f}",
            f"{tally.fallbacks:,}",
            f"{tally.failed:,}",
        )
    return table


async def _sums(client: Client, stdlib: Done) -> str:
    """What the stored results of this run add up to, read back from the database."""
    mine = set(stdlib.jobs)
    newest = await client.jobs(state="success", tag=stdlib.part.tag, limit=len(mine))
    results = [job.result for job in newest if job.id in mine]
    lines, functions, classes = (
        sum(result[name] for result in results) for name in ("lines", "functions", "classes")
    )
    found = f"{lines:,} lines, {functions:,} functions, {classes:,} classes"
    return f"{len(results):,} files with {found}"


async def _a_failure(client: Client, stdlib: Done) -> UUID:
    """A job that is worth a look: one that failed, if any did."""
    failed = await client.jobs(state="failure", tag=stdlib.part.tag, limit=1)
    return failed[0].id if failed else stdlib.jobs[0]


def _commands(done: Sequence[Done], remarkable: UUID) -> Iterator[str]:
    program = Path(sys.executable).with_name("trioworker")
    if program.is_relative_to(Path.cwd()):
        program = program.relative_to(Path.cwd())
    # Whoever has a DATABASE_URL must say that this is about the other one.
    where = f" --data-dir {shlex.quote(str(default_data_dir()))}" * ("DATABASE_URL" in os.environ)
    for words in (
        f"jobs list --path {done[0].part.path} --limit 5",
        f"jobs show {remarkable}",
        f"jobs show {done[-1].jobs[0]}",
        "workers",
        "run --help",
    ):
        yield f"{shlex.quote(str(program))} {words}{where if words != 'run --help' else ''}"


if __name__ == "__main__":
    guarded(lambda: sys.exit(trio.run(demo)))
