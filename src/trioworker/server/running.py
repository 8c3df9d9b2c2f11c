"""A server beside whatever else the process does: the parts put together, and one address.

Rule of this file: it decides nothing about jobs, and reads no settings.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import trio
from starlette.routing import BaseRoute

from trioworker.app import App
from trioworker.client import Client
from trioworker.events import Emit, ServerListening
from trioworker.schedules import Schedules
from trioworker.scripts import Scripts
from trioworker.server.api import api_routes
from trioworker.server.app import make_app
from trioworker.server.metrics import Metrics
from trioworker.server.operations import Keys
from trioworker.server.serve import serve
from trioworker.settings import Address
from trioworker.store.postgres.database import Database, Lane
from trioworker.store.postgres.flow_admin import PostgresFlows
from trioworker.store.postgres.jobs import CLIENT, PostgresJobs
from trioworker.store.postgres.schedule_admin import PostgresSchedules
from trioworker.store.postgres.scripts import PostgresScripts
from trioworker.store.postgres.waits import Waits
from trioworker.store.protocol import Store

SERVER_LANES: Final = (Lane(CLIENT, 4),)
"""What requests share, however many there are: a crowd of them waits here, not in PostgreSQL."""


@asynccontextmanager
async def served(
    database: Database,
    store: Store,
    listen: Address,
    *,
    app: App | None,
    keys: Keys,
    metrics: Metrics,
    emit: Emit,
    more: Sequence[BaseRoute] = (),
    hurry: trio.Event | None = None,
) -> AsyncIterator[Address]:
    """Take requests for as long as the context lasts; gives the address that it is.

    The database must have the lanes `SERVER_LANES`, and `emit` should lead to `metrics` as well.
    With an `app`, function jobs are checked against it. Requests that are under way at the end are
    finished, unless there is a `hurry`. Raises `UsageError` when the address
    cannot be had.
    """
    jobs = PostgresJobs(database)
    waits = Waits(database, jobs)
    schedules = Schedules(PostgresSchedules(database, CLIENT), app)
    flows, scripts = PostgresFlows(database, CLIENT), Scripts(PostgresScripts(database, CLIENT))
    client = Client(jobs, waits, app, schedules=schedules, flows=flows, scripts=scripts)
    routes = (*api_routes(client, keys, metrics, store.ping), *more)
    serving = partial(
        serve,
        make_app(routes, emit=emit),
        listen,
        or_any_port=not listen.asked,
        hurry=hurry,
    )
    async with trio.open_nursery() as nursery:
        bound: Address = await nursery.start(serving)
        nursery.start_soon(waits.run)
        emit(ServerListening(address=f"http://{bound}", message=_unusual(listen, bound)))
        yield bound
        nursery.cancel_scope.cancel()


def _unusual(listen: Address, bound: Address) -> str:
    if listen.port in {0, bound.port}:
        return ""
    return f"somebody else listens at {listen}, so this is another port; choose one with --listen"
