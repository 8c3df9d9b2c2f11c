"""Server-sent events: what a job writes and how it ends, as it happens.

Rule of this file: a stream ends with the event `end` or `error`. One that ends without has been
cut, by the network or by a server that stops, and is to be asked for again.
"""

from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from typing import Final, NoReturn, TypeAlias
from uuid import UUID

import msgspec
import trio
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from trioworker.client import Client
from trioworker.errors import ConnectionLost, ServerUnavailable, TrioworkerError
from trioworker.model.flow_shown import StepState
from trioworker.model.state import JobProgress, JobState
from trioworker.server.app import Stopping
from trioworker.server.errors import as_http_error, the_cause
from trioworker.server.shapes import result_of

EVENT_STREAM: Final = "text/event-stream"
HEARTBEAT_S: Final = 15.0
"""How often is said that all is well, so that nobody in between takes the line for dead."""

LOOK_S: Final = 1.0
"""How often is looked for progress; what runs stores it about as often."""

STEPS_MAX: Final = 200
"""So many steps of a flow are looked at each time, the newest."""

Say: TypeAlias = Callable[[bytes], Awaitable[None]]

_HEADERS: Final = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
)


async def tell_job(client: Client, job: UUID, say: Say) -> None:
    """Say what happens to a job, up to its end."""
    progress = _Progress(client, job, say)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(progress.run)
            async with aclosing(client.follow_logs(job)) as logs:
                async for log in logs:
                    await say(event("log", log))
            nursery.cancel_scope.cancel()
        state = await client.job(job)
        await progress.told(state)
        await say(event("end", result_of(state)))
    except Exception as error:
        cause = the_cause(error)
        if not isinstance(cause, TrioworkerError):
            raise
        await say(event("error", {"error": as_http_error(cause).sentence}))


class _Progress:
    """Says how far a job is, and of a flow how its steps stand, each time that is another."""

    def __init__(self, client: Client, job: UUID, say: Say) -> None:
        self._client = client
        self._job = job
        self._say = say
        self._said: JobProgress | None = None
        self._steps: dict[str, StepState] = {}

    async def run(self) -> NoReturn:
        """Look now and then. An outage of the database is waited out, as it is with logs."""
        while True:
            with suppress(ConnectionLost, ServerUnavailable):
                await self.told(await self._client.job(self._job))
            await trio.sleep(LOOK_S)

    async def told(self, state: JobState) -> None:
        """Say what `state` has, unless it was said before."""
        if state.progress is not None and state.progress != self._said:
            self._said = state.progress
            await self._say(event("progress", state.progress))
        if state.kind == "flow":
            for step in await self._client.flow_steps(self._job, limit=STEPS_MAX):
                if self._steps.get(step.at) != step:
                    self._steps[step.at] = step
                    await self._say(event("step", step))


def event(kind: str, data: object) -> bytes:
    """One event; JSON has no line breaks, which would end it."""
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), msgspec.json.encode(data))


class EventStream(Response):
    """Sends events until there are no more, the client has gone, or the server stops."""

    def __init__(self, tell: Callable[[Say], Awaitable[None]], stopping: Stopping) -> None:
        super().__init__(media_type=EVENT_STREAM)
        self._tell = tell
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
                await self._tell(line.say)
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
