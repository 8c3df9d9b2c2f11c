"""`trioworker`: the commands in one tree, and the one place where errors become lines.

Rule of this file: whatever a command raises ends here as one line on stderr and a status of
`ExitStatus`. A traceback is for whoever sets TRIOWORKER_DEBUG=1.
"""

import os
import sys
import traceback
from importlib.metadata import version
from typing import Annotated, Final

import typer

from trioworker.bench.command import bench_app
from trioworker.cli.db import db_app
from trioworker.cli.enqueue import enqueue
from trioworker.cli.exits import ExitStatus, exit_status
from trioworker.cli.jobs import jobs_app
from trioworker.cli.migrate import migrate
from trioworker.cli.run import run
from trioworker.cli.workers import workers
from trioworker.errors import TrioworkerError

DEBUG: Final = "TRIOWORKER_DEBUG"

app = typer.Typer(
    help="A job worker for PostgreSQL that works in batches.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(run)
app.command()(enqueue)
app.add_typer(jobs_app, name="jobs")
app.command()(workers)
app.command()(migrate)
app.add_typer(db_app, name="db")
app.add_typer(bench_app, name="bench")


def main() -> None:
    """Run the command that argv asks for, and exit."""
    try:
        app(prog_name="trioworker")
    except BaseException as error:  # noqa: BLE001 - the rule of this file
        sys.exit(_told(error))


def _told(error: BaseException) -> int | str | None:
    """Say what went wrong; returns the exit status."""
    cause = _cause(error)
    if isinstance(cause, SystemExit):
        return cause.code
    if os.environ.get(DEBUG) == "1":
        traceback.print_exception(error)
    if isinstance(cause, KeyboardInterrupt):
        return ExitStatus.INTERRUPTED
    if isinstance(cause, TrioworkerError):
        _complain(str(cause))
        return exit_status(cause)
    what = " ".join(f"{type(cause).__name__}: {cause}".split())
    _complain(f"this is a bug: {what} (with {DEBUG}=1 it shows where)")
    return ExitStatus.FAILED


def _cause(error: BaseException) -> BaseException:
    """The error itself, or of a group the one to act on: an interrupt, a bug, what we know."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    causes = [_cause(inner) for inner in error.exceptions]
    return min(causes, key=_rank)


def _rank(error: BaseException) -> int:
    """Bugs before errors we know, for these may follow from the bug."""
    if isinstance(error, Exception):
        return 2 if isinstance(error, TrioworkerError) else 1
    return 0


def _complain(message: str) -> None:
    sys.stderr.write(f"trioworker: {' '.join(message.split())}\n")


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
