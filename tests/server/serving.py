"""A server of a few endpoints on a real socket, and clients that speak to it byte by byte."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import httpx
import msgspec
import trio
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from trioworker.events import Emit, discard
from trioworker.server.app import answer, decoded, make_app, patiently
from trioworker.server.serve import serve
from trioworker.settings import Address

ANY_PORT: Final = Address("127.0.0.1", 0)
BODY_BYTES_MAX: Final = 100_000
PATIENCE_S: Final = 30.0

_anything: Final = msgspec.json.Decoder(object)


@dataclass(frozen=True)
class Served:
    """Where the endpoints are served, a client of theirs, and what the server runs in."""

    address: Address
    client: httpx.AsyncClient
    scope: trio.CancelScope
    waiting: trio.Event


async def echo(request: Request) -> Response:
    """What it was sent."""
    return answer(await decoded(request, _anything))


async def short(_request: Request) -> Response:
    """A few words."""
    return Response(b"words")


async def bug(_request: Request) -> Response:
    """A bug of ours that knows a secret."""
    raise KeyError("the password")


class LateBug(Response):
    """A bug once the answer has begun."""

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"so far", "more_body": True})
        raise KeyError("the password")


async def late_bug(_request: Request) -> Response:
    """See `LateBug`."""
    return LateBug()


async def wait(request: Request) -> Response:
    """For ever, or until told otherwise."""
    await request.body()
    request.app.state.waiting.set()
    return answer(await patiently(request, 1_000.0, trio.sleep_forever))


class Endless(Response):
    """More than any client wants to read."""

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            await send({"type": "http.response.body", "body": bytes(1_000_000), "more_body": True})


async def endless(_request: Request) -> Response:
    """See `Endless`."""
    return Endless()


ROUTES: Final = (
    Route("/echo", echo, methods=["POST"]),
    Route("/short", short),
    Route("/bug", bug),
    Route("/late_bug", late_bug),
    Route("/wait", wait),
    Route("/endless", endless),
)


@asynccontextmanager
async def served(
    *,
    emit: Emit = discard,
    grace_s: float = 5.0,
    body_s: float = PATIENCE_S,
    hurry: trio.Event | None = None,
) -> AsyncIterator[Served]:
    """A server of the endpoints below, until the context ends."""
    app = make_app(ROUTES, emit=emit, body_bytes_max=BODY_BYTES_MAX, body_s=body_s)
    app.state.waiting = trio.Event()
    async with trio.open_nursery() as nursery:
        scope = trio.CancelScope()

        async def run(*, task_status: trio.TaskStatus[Address]) -> None:
            with scope:
                await serve(app, ANY_PORT, grace_s=grace_s, hurry=hurry, task_status=task_status)

        address = await nursery.start(run)
        async with httpx.AsyncClient(base_url=f"http://{address}", timeout=PATIENCE_S) as client:
            yield Served(address, client, scope, app.state.waiting)
        scope.cancel()


async def said_to(address: Address, data: bytes) -> bytes:
    """All that the server says to these bytes until it hangs up."""
    stream = await trio.open_tcp_stream(address.host, address.port)
    async with stream:
        await stream.send_all(data)
        said = b""
        with trio.fail_after(PATIENCE_S):
            try:
                while piece := await stream.receive_some():
                    said += piece
            except trio.BrokenResourceError:
                pass
        return said


def taken_port() -> socket.socket:
    """A socket that listens at a port of its own."""
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    return taken
