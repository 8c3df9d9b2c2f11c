"""An operation of the API: how it is asked for, what it answers, and the code that does it.

Rule of this file: routes and the OpenAPI description are made of the same operations, so that
neither can say what the other does not.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from types import MappingProxyType
from typing import Any, Final, Protocol
from uuid import UUID

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from trioworker.server import shapes
from trioworker.server.app import answer, decode
from trioworker.server.errors import BadRequest, HttpError

JSON: Final = "application/json"
AS_ASKED: Final[Mapping[int, str]] = MappingProxyType({200: "as asked"})


class Keys(Protocol):
    """Who may ask."""

    def check(self, request: Request) -> None:
        """Raises `Unauthorised` or `Forbidden`."""
        ...


@dataclass(frozen=True)
class Asked:
    """A request that was read: `query` and `body` are of the types that the operation names."""

    request: Request
    query: Any
    body: Any

    @property
    def id(self) -> UUID:
        """The id in the address."""
        found: UUID = self.request.path_params["id"]
        return found

    @property
    def name(self) -> str:
        """The name in the address."""
        return str(self.request.path_params["name"])


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One method of one address. `statuses` are those of what is no refusal.

    By default that is 200. `errors` are the statuses of refusals besides those that any request can
    meet. `media` is the type of what it answers; `reply` is None where that is no JSON. An `open`
    one needs no key.
    """

    method: str
    path: str
    summary: str
    run: Callable[[Asked], Awaitable[object]]
    reply: Any
    statuses: Mapping[int, str] = field(default_factory=lambda: AS_ASKED)
    query: type[shapes.Request] = shapes.Nothing
    body: type[shapes.Request] | None = None
    may_be_empty: bool = False
    errors: Sequence[int] = ()
    media: str = JSON
    open: bool = False


def routes_of(operations: Sequence[Operation], keys: Keys) -> Sequence[BaseRoute]:
    """A route for each address, which takes the methods of its operations."""
    # A name at the end takes the rest of the address, whatever else that may be.
    most_said = sorted(operations, key=lambda one: (one.path.endswith("{name}"), one.path))
    by_path = groupby(most_said, key=_path)
    return [_route(path, {one.method: one for one in of_path}, keys) for path, of_path in by_path]


def _path(operation: Operation) -> str:
    return operation.path


def _route(path: str, operations: Mapping[str, Operation], keys: Keys) -> Route:
    async def endpoint(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        operation = operations[method]
        if not operation.open:
            keys.check(request)
        found = await operation.run(await _asked(operation, request))
        return found if isinstance(found, Response) else answer(found)

    # A name may have a slash in it, which the address has as %2F and the server has decoded.
    pattern = path.replace("{name}", "{name:path}").replace("{id}", "{id:uuid}")
    return Route(pattern, endpoint, methods=[*operations])


async def _asked(operation: Operation, request: Request) -> Asked:
    query = _query(request, operation.query)
    if operation.body is None:
        return Asked(request, query, None)
    kind = request.headers.get("content-type", JSON).partition(";")[0].strip().lower()
    if kind != JSON:
        raise HttpError(f"a body is {JSON}, not {kind[:100]!r}", status=415)
    body = await request.body()
    if not body and operation.may_be_empty:
        return Asked(request, query, operation.body())
    return Asked(request, query, decode(body, msgspec.json.Decoder(operation.body)))


def _query(request: Request, wanted: type[shapes.Request]) -> shapes.Request:
    pairs = request.query_params.multi_items()
    given = dict(pairs)
    if len(given) < len(pairs):
        raise BadRequest("a parameter is given twice; give each once")
    try:
        return msgspec.convert(given, wanted, strict=False)
    except msgspec.ValidationError as error:
        problem = str(error).replace("`", "'").replace("Object contains", "there is an")
        raise BadRequest(f"the parameters will not do: {problem}") from None
