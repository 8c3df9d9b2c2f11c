"""`trioworker server`: requests over HTTP and the sweeps of the queue, without a worker.

Rule of this file: what serves is imported by whoever serves, and by no other command.
"""

from typing import Annotated

import typer

from trioworker.app import App, load_app
from trioworker.cli.loop import run_trio
from trioworker.cli.options import OF_SERVERS, takes_settings
from trioworker.cli.place import open_place
from trioworker.errors import UsageError
from trioworker.model.batching import Mode
from trioworker.settings import Settings


@takes_settings(OF_SERVERS, mode=Mode.SERVER)
def server(
    settings: Settings,
    app: Annotated[
        str | None,
        typer.Argument(metavar="MODULE:APP", help="The app that jobs are checked against."),
    ] = None,
) -> None:
    """Take requests over HTTP until SIGTERM or Ctrl-C.

    It runs no jobs, and is the same as `trioworker run --mode server`. With MODULE:APP jobs are
    checked against its functions, and its schedules are stored.
    """
    serve_settings(settings, None if app is None else load_app(app))


def serve_settings(settings: Settings, app: App | None) -> None:
    """Serve until a signal. Raises `UsageError` when there is nowhere to."""
    if settings.address is None:
        raise UsageError("a server that listens nowhere serves nobody; leave out --listen off")
    run_trio(_serve, settings, app)


async def _serve(settings: Settings, app: App | None) -> None:
    from trioworker.cli.serving import serve_at  # noqa: PLC0415 - the rule of this file

    async with open_place(settings) as url:
        await serve_at(url, settings, app)
