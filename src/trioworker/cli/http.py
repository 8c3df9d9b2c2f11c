"""Requests over HTTP, from settings: beside a worker, or alone.

Rule of this file: it puts the parts together and decides nothing about jobs.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from random import Random

import trio

from trioworker.app import App
from trioworker.cli.place import agent_secret
from trioworker.events import Emit, fan_out
from trioworker.server.agents import AGENT_LANES, Agents
from trioworker.server.auth import AgentAuth, KeyAuth
from trioworker.server.metrics import Metrics
from trioworker.server.running import SERVER_LANES, served
from trioworker.settings import Settings
from trioworker.store.postgres.database import Database, Lane
from trioworker.store.postgres.jobs import CLIENT
from trioworker.store.postgres.store import WORKER_LANES, PostgresStore
from trioworker.store.postgres.tokens import PostgresTokens


def lanes_for(settings: Settings) -> Sequence[Lane]:
    """The lanes of a process with these settings: a worker's, and what requests share."""
    if settings.address is None:
        return WORKER_LANES
    own = {lane.name: lane.size for lane in WORKER_LANES} if settings.mode.works else {}
    shared = [
        Lane(lane.name, lane.size + own.get(lane.name, 0), durable=lane.durable)
        for lane in AGENT_LANES
    ]
    return (*shared, *SERVER_LANES)


def counted(settings: Settings, metrics: Metrics, *sinks: Emit) -> Emit:
    """These sinks, and the metrics where somebody can ask for them."""
    return fan_out(*sinks, *((metrics,) if settings.address is not None else ()))


@asynccontextmanager
async def open_http(
    settings: Settings,
    database: Database,
    app: App | None,
    *,
    metrics: Metrics,
    emit: Emit,
    hurry: trio.Event,
) -> AsyncIterator[None]:
    """Take requests for as long as the context lasts, if the settings say where.

    The database must have the lanes of `lanes_for`. Raises `UsageError` when the address cannot be
    had, or must not be open to others.
    """
    address = settings.address
    if address is None:
        yield
        return
    keys = KeyAuth(settings.api_key, address, emit=emit)
    store = PostgresStore(database, now_s=trio.current_time)
    tokens = PostgresTokens(database, CLIENT)
    authority = AgentAuth(tokens, await agent_secret(settings), emit=emit)
    agents = Agents(store, authority, Random())
    async with (
        served(
            database, store, address, app=app, keys=keys, metrics=metrics, emit=emit,
            more=agents.routes(), hurry=hurry,
        ),
        trio.open_nursery() as nursery,
    ):  # fmt: skip
        nursery.start_soon(agents.run)
        yield
        nursery.cancel_scope.cancel()
