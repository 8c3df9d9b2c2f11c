"""The app: put together of routes, with the guard around them; and how an endpoint waits.

Rule of this file: it knows no endpoint. Each API module gives a sequence of routes.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import msgspec
import trio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from trioworker.events import Emit, discard
from trioworker.server.errors import BadRequest
from trioworker.server.guard import BODY_BYTES_MAX, BODY_S, Guard

T = TypeVar("T")
encode: Final = msgspec.json.Encoder().encode


class Stopping:
    """Ends what waits for the sake of clients, once the server stops."""

    def __init__(self) -> None:
        self._asked = False
        self._scopes: set[trio.CancelScope] = set()

    def ask(self) -> None:
        """Nothing waits from now on."""
        self._asked = True
        for scope in self._scopes:
            scope.cancel()

    @contextmanager
    def ends(self, scope: trio.CancelScope) -> Iterator[None]:
        """Cancel the scope when the server stops, for as long as the context lasts."""
        if self._asked:
            scope.cancel()
        self._scopes.add(scope)
        try:
            yield
        finally:
            self._scopes.remove(scope)


class Shortcut:
    """Looks up an address without parameters, where the router tries one pattern after the other.

    What it does not know is for the router, and so is what the router says of other methods.
    """

    def __init__(self, app: ASGIApp, *, routes: Sequence[BaseRoute]) -> None:
        self._app = app
        fixed = [route for route in routes if isinstance(route, Route) and "{" not in route.path]
        self._routes = {(method, r.path): r for r in fixed for method in r.methods or ()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        route = self._routes.get((scope.get("method", ""), scope["path"]))
        if route is None:
            await self._app(scope, receive, send)
        else:
            scope["route"] = route
            await route.app(scope, receive, send)


def make_app(
    routes: Sequence[BaseRoute],
    *,
    emit: Emit = discard,
    body_bytes_max: int = BODY_BYTES_MAX,
    body_s: float = BODY_S,
) -> Starlette:
    """An app of these routes, of which no error escapes; see `Guard`.

    A body has at most `body_bytes_max` bytes and comes within `body_s` seconds.
    """
    app = Starlette(
        routes=routes,
        middleware=[
            Middleware(Guard, emit=emit, body_bytes_max=body_bytes_max, body_s=body_s),
            Middleware(Shortcut, routes=routes),
        ],
        exception_handlers={HTTPException: _raised_on},
    )
    app.router.redirect_slashes = False
    app.state.stopping = Stopping()
    return app


async def decoded(request: Request, decoder: "msgspec.json.Decoder[T]") -> T:
    """The request's body. Raises `BadRequest` when it is no JSON, or not what `decoder` wants."""
    return decode(await request.body(), decoder)


def decode(body: bytes, decoder: "msgspec.json.Decoder[T]") -> T:
    """The same of a body that was read already."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise BadRequest(f"the body will not do: {_plain(error)}") from None
    except (msgspec.DecodeError, UnicodeError) as error:
        raise BadRequest(f"the body is not JSON: {_plain(error)}") from None
    except RecursionError:
        raise BadRequest("the body is nested too deeply; keep lists and objects shallow") from None


def answer(value: object, status: int = 200) -> Response:
    """A value as JSON."""
    return Response(
        encode(value), status, {"Cache-Control": "no-store"}, media_type="application/json"
    )


async def patiently(request: Request, seconds: float, wait: Callable[[], Awaitable[T]]) -> T | None:
    """What `wait` returns; None after so many seconds, or when the client goes or the server stops.

    The request's body must have been read.
    """
    found: T | None = None
    failed: Exception | None = None
    async with trio.open_nursery() as nursery:
        scope = nursery.cancel_scope
        scope.deadline = trio.current_time() + seconds
        with stopping_of(request).ends(scope):
            nursery.start_soon(_cancel_when_gone, request, scope)
            try:
                found = await wait()
            except Exception as error:  # noqa: BLE001 - raised again below, in no group
                failed = error
            scope.cancel()
    if failed is not None:
        raise failed
    return found


def stopping_of(request: Request) -> Stopping:
    """What tells that the server stops."""
    stopping: Stopping = request.app.state.stopping
    return stopping


async def _cancel_when_gone(request: Request, scope: trio.CancelScope) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


async def _raised_on(_request: Request, error: Exception) -> Any:  # noqa: ANN401 - it never returns
    """Leave it to the guard, which tells all errors alike."""
    raise error


def _plain(error: Exception) -> str:
    return str(error).replace("`", "'")
