"""`trioworker bench NAME`: one command per measurement.

Rule of this file: it opens a server, lets a measurement run, and prints what came of it. Errors
pass through; main prints them.
"""

import os
import platform
import shutil
import subprocess
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from importlib.metadata import version
from typing import Annotated, Final, NamedTuple, Protocol, TypeAlias

import msgspec
import trio
import typer
from rich.console import Console
from rich.table import Table

from trioworker import garbage
from trioworker.bench import (
    agents,
    backlog,
    dedicated,
    fallback,
    flows,
    hooks,
    latency,
    limit,
    modes,
    sql,
)
from trioworker.bench.figures import Measured, rounded
from trioworker.bench.rig import Server, open_server
from trioworker.model.batching import SIZE_MAX
from trioworker.settings import TABLE, read_settings

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]
DatabaseUrl = Annotated[
    str | None, typer.Option(help=TABLE["database_url"].help, show_default=False)
]
DataDir = Annotated[str | None, typer.Option(help=TABLE["data_dir"].help, show_default=False)]
Measure: TypeAlias = Callable[[Server], Awaitable[Measured]]

NODE_TIMEOUT_S: Final = 10.0


class MeasureJobs(Protocol):
    """A measurement that is scaled by how many jobs it uses."""

    def __call__(self, server: Server, *, jobs: int) -> Awaitable[Measured]:
        """Measure on `server`."""
        ...


class Bench(NamedTuple):
    """One measurement as a command; `jobs` is the default, which takes less than 90 seconds."""

    measure: MeasureJobs
    about: str
    jobs: int
    jobs_are: str = "How many jobs to measure with."
    jobs_min: int = 1
    jobs_max: int = 10_000_000


BENCHES: Final[Mapping[str, Bench]] = {
    "modes": Bench(
        modes.measure, "Agent-batch mode against worker mode, jobs that do nothing.", modes.JOBS
    ),
    "dedicated": Bench(
        dedicated.measure,
        "Dedicated scripts: one job at a time against pipelined batches.",
        dedicated.JOBS,
    ),
    "sql": Bench(
        sql.measure, "Pull 100 jobs and write 50 results: one by one against a batch.", sql.JOBS
    ),
    "backlog": Bench(
        backlog.measure,
        "A pull on deep backlogs, and under a long transaction.",
        backlog.DEEPEST,
        "How many jobs the deepest backlog has.",
        jobs_min=backlog.DEEPEST_MIN,
    ),
    "latency": Bench(
        latency.measure, "From enqueue to the start of the job, on an idle worker.", latency.SAMPLES
    ),
    "hooks": Bench(
        hooks.measure,
        "Each hook on every job: against no hook, and against per job.",
        hooks.JOBS,
    ),
    "flows": Bench(
        flows.measure,
        "Steps of flows, in rows and loops: per job and in batches.",
        flows.STEPS,
        "How many steps a round has.",
        jobs_min=flows.WIDTH,
    ),
    "agents": Bench(
        agents.measure, "Agents over HTTP against a worker with the database.", agents.JOBS
    ),
    "fallback": Bench(
        fallback.measure,
        "A batch with refused results: one by one against by halves.",
        fallback.BATCH,
        "How many outcomes the batch has.",
        jobs_min=2,
        jobs_max=SIZE_MAX,
    ),
}

bench_app = typer.Typer(
    help="Measure, each time in a database of its own.\n\nIt is dropped afterwards.",
    no_args_is_help=True,
)


@bench_app.command("limit")
def limit_command(
    *,
    jobs: Annotated[int, typer.Option(min=1, help="How many jobs a round has.")] = limit.JOBS,
    batch: Annotated[
        int, typer.Option(min=1, max=SIZE_MAX, help="Jobs per pull and per commit.")
    ] = limit.BATCH,
    as_json: AsJson = False,
    database_url: DatabaseUrl = None,
    data_dir: DataDir = None,
) -> None:
    """The worker against the same SQL looped inside the server."""
    measure = partial(limit.measure, jobs=jobs, batch=batch)
    _run("limit", measure, database_url, data_dir, as_json=as_json)


def _add(name: str, bench: Bench) -> None:
    @bench_app.command(name, help=bench.about)
    def command(
        *,
        jobs: Annotated[
            int, typer.Option(min=bench.jobs_min, max=bench.jobs_max, help=bench.jobs_are)
        ] = bench.jobs,
        as_json: AsJson = False,
        database_url: DatabaseUrl = None,
        data_dir: DataDir = None,
    ) -> None:
        _run(name, partial(bench.measure, jobs=jobs), database_url, data_dir, as_json=as_json)


for _name, _bench in BENCHES.items():
    _add(_name, _bench)


def _run(
    name: str, measure: Measure, database_url: str | None, data_dir: str | None, *, as_json: bool
) -> None:
    flags = {"database_url": database_url, "data_dir": data_dir}
    settings = read_settings(flags, os.environ, names=tuple(flags))

    async def main() -> tuple[Measured, str]:
        async with open_server(settings.database_url, settings.data_dir) as server:
            return await measure(server), server.version

    garbage.settle()  # as the programs do that are measured
    with Console(stderr=True).status(f"bench {name}: measuring"):
        measured, postgres = trio.run(main)
    if as_json:
        typer.echo(msgspec.json.encode(_json(name, measured, _versions(postgres))))
    else:
        _show(name, measured, _versions(postgres))


def _json(name: str, measured: Measured, versions: Mapping[str, object]) -> Mapping[str, object]:
    figures = {key: rounded(figure) for key, figure in measured.figures.items()}
    return {"bench": name, **figures, "versions": versions}


def _show(name: str, measured: Measured, versions: Mapping[str, object]) -> None:
    table = Table(*measured.columns, title=f"bench {name}", title_justify="left")
    for row in measured.rows:
        table.add_row(*row)
    console = Console()
    console.print(measured.about)
    console.print(table)
    console.print(" · ".join(f"{what} {which or 'absent'}" for what, which in versions.items()))


def _versions(postgres: str) -> Mapping[str, str | int | None]:
    return {
        "trioworker": version("trioworker"),
        "python": platform.python_version(),
        "postgresql": postgres,
        "trio": version("trio"),
        "asyncpg": version("asyncpg"),
        "node": _node(),
        "cores": os.cpu_count(),
    }


def _node() -> str | None:
    program = shutil.which("node")
    if program is None:
        return None
    asked = subprocess.run(  # noqa: S603 - the node of the user, as the scripts find it
        [program, "--version"], capture_output=True, text=True, timeout=NODE_TIMEOUT_S, check=False
    )
    return asked.stdout.strip().removeprefix("v") or None
