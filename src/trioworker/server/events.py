"""Server-sent events: what a job writes and how it ends, as it happens.

Rule of this file: a stream ends with the event `end` or `error`. One that ends without has been
cut, by the network or by a server that stops, and is to be asked for again.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Final
from uuid import UUID

import msgspec
import trio
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from trioworker.client import Client
from trioworker.errors import TrioworkerError
from trioworker.server.app import Stopping
from trioworker.server.errors import as_http_error
from trioworker.server.shapes import result_of

EVENT_STREAM: Final = "text/event-stream"
HEARTBEAT_S: Final = 15.0
"""How often is said that all is well, so that nobody in between takes the line for dead."""

_HEADERS: Final = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
)


async def job_events(client: Client, job: UUID) -> AsyncGenerator[bytes, None]:
    """The events of a job, encoded, up to its end."""
    try:
        async with aclosing(client.follow_logs(job)) as logs:
            async for log in logs:
                yield event("log", log)
        yield event("end", result_of(await client.job(job)))
    except TrioworkerError as error:
        yield event("error", {"error": as_http_error(error).sentence})


def event(kind: str, data: object) -> bytes:
    """One event; JSON has no line breaks, which would end it."""
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), msgspec.json.encode(data))


class EventStream(Response):
    """Sends events until there are no more, the client has gone, or the server stops."""

    def __init__(
        self, events: Callable[[], AsyncGenerator[bytes, None]], stopping: Stopping
    ) -> None:
        super().__init__(media_type=EVENT_STREAM)
        self._events = events
        self._stopping = stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        await send({"type": "http.response.start", "status": 200, "headers": list(_HEADERS)})
        if scope["method"] != "HEAD":
            await self._say_all(receive, send)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _say_all(self, receive: Receive, send: Send) -> None:
        line = _Line(send)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_cancel_when_gone, receive, nursery.cancel_scope)
            nursery.start_soon(_beat, line)
            with self._stopping.ends(nursery.cancel_scope):
                async with aclosing(self._events()) as events:
                    async for one in events:
                        await line.say(one)
            nursery.cancel_scope.cancel()


class _Line:
    """Says one thing at a time, each of them whole."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._free = trio.Lock()

    async def say(self, data: bytes) -> None:
        async with self._free:
            message: Message = {"type": "http.response.body", "body": data, "more_body": True}
            with trio.CancelScope(shield=True):
                await self._send(message)


async def _beat(line: _Line) -> None:
    while True:
        await line.say(b": all is well\n\n")
        await trio.sleep(HEARTBEAT_S)


async def _cancel_when_gone(receive: Receive, scope: trio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()
