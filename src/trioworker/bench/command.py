"""`trioworker bench NAME`: one command per measurement.

Rule of this file: it opens a server, runs the measurement, and prints what came of it. Errors pass
through; main prints them.
"""

import os
import platform
import subprocess
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from shutil import which
from typing import Annotated, Any, Final, TypeAlias

import msgspec
import trio
import typer
from rich.console import Console
from rich.table import Table

from trioworker.bench import limit as limit_bench
from trioworker.bench.figures import Measured, rounded
from trioworker.bench.rig import Server, open_server

DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        envvar="DATABASE_URL",
        help="A server to measure on, in a database of its own; by default the embedded one.",
        show_default=False,
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        envvar="TRIOWORKER_DATA_DIR",
        help="The folder of the embedded server's data.",
        show_default=False,
    ),
]
Jobs = Annotated[int, typer.Option(min=1, help="How many jobs; the default takes under 90 s.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]

Measure: TypeAlias = Callable[[Server], Awaitable[Measured]]

bench_app = typer.Typer(
    help="Measure what is claimed, in a database that is made for it and dropped afterwards.",
    no_args_is_help=True,
)


@bench_app.command()
def limit(
    jobs: Jobs = limit_bench.JOBS,
    batch: Annotated[int, typer.Option(min=1, help="Jobs per batch.")] = limit_bench.BATCH,
    as_json: AsJson = False,  # noqa: FBT002 - a flag
    database_url: DatabaseUrl = None,
    data_dir: DataDir = None,
) -> None:
    """The worker against the same SQL looped inside the server."""
    _run("limit", partial(limit_bench.measure, jobs=jobs, batch=batch), as_json, database_url, data_dir)
