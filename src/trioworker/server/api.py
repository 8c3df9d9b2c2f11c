"""The jobs API as a whole: its routes, and the description of them that it serves.

Rule of this file: it puts the parts together, and nothing else.
"""

from collections.abc import Awaitable, Callable, Sequence

from starlette.responses import Response
from starlette.routing import BaseRoute

from trioworker.client import Client
from trioworker.server.app import encode
from trioworker.server.flows import FlowsApi
from trioworker.server.jobs import JobsApi
from trioworker.server.metrics import Metrics
from trioworker.server.openapi import description
from trioworker.server.operations import JSON, Asked, Keys, Operation, routes_of
from trioworker.server.scripts import ScriptsApi
from trioworker.server.system import SystemApi


def api_operations(
    client: Client, metrics: Metrics, ping: Callable[[], Awaitable[None]]
) -> Sequence[Operation]:
    """All operations but the one that describes them."""
    parts = (
        JobsApi(client), FlowsApi(client), ScriptsApi(client), SystemApi(client, metrics, ping),
    )  # fmt: skip
    return [operation for part in parts for operation in part.operations()]


def api_routes(
    client: Client, keys: Keys, metrics: Metrics, ping: Callable[[], Awaitable[None]]
) -> Sequence[BaseRoute]:
    """The routes of the jobs API. `ping` raises unless the database answers and takes writes."""
    operations = api_operations(client, metrics, ping)
    document = encode(description(operations))

    async def described(_asked: Asked) -> object:
        return Response(document, headers={"Cache-Control": "no-store"}, media_type=JSON)

    describing = Operation(
        method="GET",
        path="/openapi.json",
        summary="What there is, for programs",
        run=described,
        reply=None,
    )
    return routes_of((*operations, describing), keys)
