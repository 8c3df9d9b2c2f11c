"""`trioworker run`: a worker, until drained or stopped.

Rule of this file: what works is imported by whoever works, and by no other command.
"""

import sys
from typing import Annotated

import typer

from trioworker.app import App, load_app
from trioworker.cli.exits import ExitStatus
from trioworker.cli.loop import run_trio
from trioworker.cli.options import EVERY, takes_settings
from trioworker.cli.output import counted
from trioworker.cli.place import open_place
from trioworker.cli.progress import Tally
from trioworker.cli.server import serve_settings
from trioworker.errors import UsageError
from trioworker.model.batching import Mode
from trioworker.settings import Settings
from trioworker.worker.supervisor import Report


@takes_settings(EVERY)
def run(
    settings: Settings,
    app: Annotated[
        str | None,
        typer.Argument(metavar="MODULE:APP", help="The app whose functions are run."),
    ] = None,
    *,
    drain: Annotated[
        bool, typer.Option("--drain", help="Stop when nothing is left that is due.")
    ] = False,
) -> None:
    """Work on jobs until SIGTERM or Ctrl-C.

    The first one lets running jobs finish, the second stops at once. Without MODULE:APP it runs
    scripts only. Without DATABASE_URL it starts the embedded PostgreSQL. With BASE_INTERNAL_URL and
    AGENT_TOKEN it has no database and asks the server there.
    """
    served = None if app is None else load_app(app)
    if settings.mode is Mode.SERVER:
        if drain:
            raise UsageError("--drain: the mode server runs no jobs; drop it, or choose a worker")
        serve_settings(settings, served)
        return
    report = run_trio(_run, settings, served, drain)
    raise typer.Exit(told(report))


async def _run(settings: Settings, app: App | None, drain: bool) -> Report:  # noqa: FBT001 - for trio.run
    if settings.base_internal_url is not None:
        from trioworker.cli.agent import work_from  # noqa: PLC0415 - the rule of this file

        return await work_from(settings, app, Tally(), drain=drain)
    from trioworker.cli.work import work_at  # noqa: PLC0415 - the rule of this file

    async with open_place(settings) as url:
        return await work_at(url, settings, app, Tally(), drain=drain)


def told(report: Report) -> ExitStatus:
    """Say what could not be stored; returns the status of a worker that ended so."""
    if report.unsaved:
        sys.stderr.write(
            f"trioworker: {counted(len(report.unsaved), 'result')} could not be stored; these jobs"
            " will be run again:\n" + "".join(f"{job}\n" for job in report.unsaved)
        )
        return ExitStatus.UNSAVED
    return ExitStatus.INTERRUPTED if report.forced else ExitStatus.OK
