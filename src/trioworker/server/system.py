"""The rest of the jobs API: schedules, workers, and how the server itself fares.

Rule of this file: as in `jobs.py`, it decides nothing.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import trio
from starlette.responses import Response

from trioworker.client import Client
from trioworker.errors import StoreError
from trioworker.model.schedule_state import ScheduleState
from trioworker.server import shapes
from trioworker.server.errors import Unavailable
from trioworker.server.metrics import METRICS_TEXT, Metrics
from trioworker.server.operations import Asked, Operation

READY_S: Final = 5.0
"""A database that takes longer than this to answer is not ready for anybody."""


class SystemApi:
    """The operations on everything but jobs. `ping` raises unless the database takes writes."""

    def __init__(
        self, client: Client, metrics: Metrics, ping: Callable[[], Awaitable[None]]
    ) -> None:
        self._client = client
        self._metrics = metrics
        self._ping = ping

    def operations(self) -> Sequence[Operation]:
        """All of them."""
        return (*self._of_schedules(), *self._of_the_server())

    def _of_schedules(self) -> Sequence[Operation]:
        one = "/api/schedules/{name}"
        return (
            Operation(
                method="GET",
                path="/api/schedules",
                summary="All schedules, by name",
                run=self._schedules,
                query=shapes.LimitQuery,
                reply=shapes.Schedules,
            ),
            Operation(
                method="POST",
                path=f"{one}/pause",
                summary="Let none of its ticks become a job until it is resumed",
                run=self._pause,
                reply=ScheduleState,
                errors=(404,),
            ),
            Operation(
                method="POST",
                path=f"{one}/resume",
                summary="Go on with its first tick from now",
                run=self._resume,
                reply=ScheduleState,
                errors=(404,),
            ),
            Operation(
                method="POST",
                path=f"{one}/run",
                summary="Run its job now, beside its ticks",
                run=self._run,
                reply=shapes.Run,
                errors=(404,),
            ),
        )

    def _of_the_server(self) -> Sequence[Operation]:
        return (
            Operation(
                method="GET",
                path="/api/workers",
                summary="Workers: those that live, then those that ended last",
                run=self._workers,
                query=shapes.LimitQuery,
                reply=shapes.Workers,
            ),
            Operation(
                method="GET",
                path="/health",
                summary="Whether the process is there",
                run=self._health,
                reply=shapes.Health,
                open=True,
            ),
            Operation(
                method="GET",
                path="/ready",
                summary="Whether the database answers and takes writes",
                run=self._ready,
                reply=shapes.Health,
                open=True,
            ),
            Operation(
                method="GET",
                path="/metrics",
                summary="Figures for Prometheus",
                run=self._figures,
                reply=None,
                media=METRICS_TEXT,
            ),
        )

    async def _schedules(self, asked: Asked) -> object:
        found = await self._client.schedules.list(asked.query.limit)
        return shapes.Schedules(schedules=found)

    async def _pause(self, asked: Asked) -> object:
        await self._client.schedules.pause(asked.name)
        return await self._client.schedules.get(asked.name)

    async def _resume(self, asked: Asked) -> object:
        await self._client.schedules.resume(asked.name)
        return await self._client.schedules.get(asked.name)

    async def _run(self, asked: Asked) -> object:
        return shapes.Run(job=await self._client.schedules.run(asked.name))

    async def _workers(self, asked: Asked) -> object:
        return shapes.Workers(workers=await self._client.workers(asked.query.limit))

    async def _health(self, _asked: Asked) -> object:
        return shapes.Health()

    async def _ready(self, _asked: Asked) -> object:
        with trio.move_on_after(READY_S) as patience:
            await self._ping()
        if patience.cancelled_caught:
            raise Unavailable(f"the database did not answer within {READY_S:g} s")
        return shapes.Health()

    async def _figures(self, _asked: Asked) -> Response:
        try:
            text = self._metrics.text(await self._client.counts())
        except StoreError:
            text = self._metrics.text(None)
        return Response(text, media_type=METRICS_TEXT)
