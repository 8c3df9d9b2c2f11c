"""A server from settings: requests over HTTP and the sweeps of the queue, without a worker.

Rule of this file: it puts the parts together and decides nothing about jobs.
"""

from contextlib import AsyncExitStack
from random import Random

import trio

from trioworker.app import App
from trioworker.cli.http import open_http
from trioworker.cli.sinks import Log, log_sink
from trioworker.cli.work import declare_schedules, open_store, stop_on_signals, worker_config
from trioworker.events import fan_out
from trioworker.ids import new_id
from trioworker.server.metrics import Metrics
from trioworker.server.upkeep import sweep
from trioworker.settings import Settings
from trioworker.store.postgres.migrate import check_schema
from trioworker.store.postgres.store import PostgresStore
from trioworker.worker.config import Context, Ports


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
