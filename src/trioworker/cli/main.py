"""`trioworker`: the commands in one tree."""

import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated

import typer

from trioworker.bench.command import bench_app
from trioworker.cli.db import db_app
from trioworker.cli.deploy import deploy
from trioworker.cli.doctor import doctor
from trioworker.cli.enqueue import enqueue
from trioworker.cli.flows import flows_app
from trioworker.cli.guard import guarded
from trioworker.cli.jobs import jobs_app
from trioworker.cli.migrate import migrate
from trioworker.cli.run import run
from trioworker.cli.schedules import schedules_app
from trioworker.cli.scripts import scripts_app
from trioworker.cli.server import server
from trioworker.cli.token import token_app
from trioworker.cli.workers import workers

app = typer.Typer(
    help="A job worker for PostgreSQL that works in batches.",
    no_args_is_help=True,
    rich_markup_mode=None,  # whose panels cut long names of variables short
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(run)
app.command()(server)
app.command()(enqueue)
app.command()(deploy)
app.add_typer(scripts_app, name="scripts")
app.add_typer(jobs_app, name="jobs")
app.add_typer(flows_app, name="flows")
app.add_typer(schedules_app, name="schedules")
app.command()(workers)
app.add_typer(token_app, name="token")
app.command()(doctor)
app.command()(migrate)
app.add_typer(db_app, name="db")
app.add_typer(bench_app, name="bench")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command that `arguments` ask for, by default argv, and exit."""
    guarded(lambda: sys.exit(app(arguments, prog_name="trioworker", standalone_mode=False)))


@app.callback()
def _options(
    *,
    _version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Print the version and exit.",
            is_eager=True,
            callback=lambda asked: _print_version() if asked else None,
        ),
    ] = False,
) -> None:
    """Options of the tree as a whole."""


def _print_version() -> None:
    typer.echo(f"trioworker {version('trioworker')}")
    raise typer.Exit
