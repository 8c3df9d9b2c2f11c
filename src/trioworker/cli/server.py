"""`trioworker server`: requests over HTTP and the sweeps of the queue, without a worker."""

from contextlib import AsyncExitStack
from random import Random
from typing import Annotated

import trio
import typer

from trioworker.app import App, load_app
from trioworker.cli.http import open_http
from trioworker.cli.loop import run_trio
from trioworker.cli.options import OF_SERVERS, takes_settings
from trioworker.cli.place import open_place
from trioworker.cli.sinks import Log, log_sink
from trioworker.cli.work import declare_schedules, open_store, stop_on_signals, worker_config
from trioworker.errors import UsageError
from trioworker.events import fan_out
from trioworker.ids import new_id
from trioworker.model.batching import Mode
from trioworker.server.metrics import Metrics
from trioworker.server.upkeep import sweep
from trioworker.settings import Settings
from trioworker.store.postgres.migrate import check_schema
from trioworker.store.postgres.store import PostgresStore
from trioworker.worker.config import Context, Ports


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
    async with open_place(settings) as url:
        await serve_at(url, settings, app)


async def serve_at(url: str, settings: Settings, app: App | None) -> None:
    """Serve the database at `url` until SIGTERM or SIGINT.

    Raises `SchemaMismatch` when the schema is not ours, `StoreError` when the database cannot be
    reached at the start, and `UsageError` when the address cannot be had.
    """
    log, metrics = Log(settings.log_level, settings.log_format), Metrics()
    emit = fan_out(log_sink(log), metrics)
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_store(url, settings, log, metrics))
        await check_schema(database, settings.schema)
        stop = await stack.enter_async_context(stop_on_signals())
        await declare_schedules(app, database, emit)
        nursery = await stack.enter_async_context(trio.open_nursery())
        context = Context(
            worker=new_id(),
            config=worker_config(settings, drain=False),
            store=PostgresStore(database, now_s=trio.current_time),
            ports=Ports(new_id, Random()),
            emit=emit,
        )
        nursery.start_soon(sweep, context)
        http = open_http(settings, database, app, metrics=metrics, emit=emit, hurry=stop.forced)
        async with http:
            await stop.asked.wait()
        nursery.cancel_scope.cancel()
