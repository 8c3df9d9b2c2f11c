"""Around every request: its body is bounded, its errors become JSON, and it is counted.

Rule of this file: no error gets past it, so nobody who asks sees a traceback, and no request can
end more than its own connection.
"""

import re
import traceback
from typing import Final

import trio
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trioworker.events import Emit, RequestFailed, RequestServed
from trioworker.server.errors import (
    BadRequest,
    HttpError,
    TooLarge,
    TooMany,
    TooSlow,
    as_http_error,
    error_response,
    is_foreseen,
    the_cause,
)

BODY_BYTES_MAX: Final = 32 * 1024 * 1024
BODY_S: Final = 30.0
HELD_BYTES_MAX: Final = 512 * 1024 * 1024
"""What the bodies of all requests under way may take up together."""
SMALL_BYTES: Final = 256 * 1024
"""A body up to this size is taken however much others take up."""
BODY: Final = "trioworker.body"
"""Where in a request's scope its body is."""
DRAIN_BYTES_MAX: Final = 2 * BODY_BYTES_MAX
DRAIN_S: Final = 5.0
"""What is read of a body that nobody wants, so that its sender gets to read why."""
_LENGTHS: Final = frozenset({b"content-length", b"transfer-encoding"})
CLOSED_BY_CLIENT: Final = 499
"""How a request is counted whose client went away: the number that others use for it."""

_CONVERTER: Final = re.compile(r":\w+}")


class Guard:
    """The outermost layer of the app; see the rule of this file."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        emit: Emit,
        body_bytes_max: int = BODY_BYTES_MAX,
        body_s: float = BODY_S,
    ) -> None:
        self._app = app
        self._emit = emit
        self._body_bytes_max = body_bytes_max
        self._body_s = body_s
        self._held = _Held()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began_s = trio.current_time()
        body = scope[BODY] = _Body(
            receive, scope, self._held, bytes_max=self._body_bytes_max, seconds=self._body_s
        )
        answer = _Answer(send, body)
        try:
            _refuse_two_lengths(scope)
            await self._app(scope, body.receive, answer.send)
        except Exception as error:  # noqa: BLE001 - the rule of this file
            await self._told(error, scope, body, answer)
        finally:
            body.weighs(0)
            self._emit(
                RequestServed(
                    method=scope["method"],
                    route=route_of(scope),
                    status=answer.status or CLOSED_BY_CLIENT,
                    seconds=trio.current_time() - began_s,
                )
            )

    async def _told(self, error: Exception, scope: Scope, body: "_Body", answer: "_Answer") -> None:
        cause = the_cause(error)
        if not isinstance(cause, Exception):
            raise error
        if isinstance(cause, ClientDisconnect | BrokenPipeError):
            return
        if not is_foreseen(cause):
            where, what = _where(cause), f"{type(cause).__name__}: {cause}"
            route = route_of(scope)
            self._emit(
                RequestFailed(method=scope["method"], route=route, message=what, where=where)
            )
        if answer.status is None:
            refusal: HttpError = as_http_error(cause)
            await error_response(refusal)(scope, body.receive, answer.send)
        # Otherwise the answer ends in its middle, and the server hangs up.


def route_of(scope: Scope) -> str:
    """The address's pattern, such as /api/jobs/{id}; empty for one that nothing is at."""
    pattern = str(getattr(scope.get("route"), "path", ""))
    return _CONVERTER.sub("}", pattern)


class _Held:
    """What the bodies of all requests under way take up."""

    def __init__(self) -> None:
        self.bytes = 0


class _Body:
    """What comes in: bounded in size and time."""

    def __init__(
        self, receive: Receive, scope: Scope, held: _Held, *, bytes_max: int, seconds: float
    ) -> None:
        self._receive = receive
        self._held = held
        self._weight = 0
        self._bytes_max = bytes_max
        self._seconds = seconds
        self._until_s = trio.current_time() + seconds
        self._read = 0
        self._announced = _announced_bytes(scope)
        self._comes = True
        self.ended = False

    async def receive(self) -> Message:
        """The next piece. Raises `TooLarge`, `TooSlow` and `TooMany`."""
        if self.ended:
            return await self._receive()
        if self._size > self._bytes_max:
            raise TooLarge(self._bytes_max)
        message = await self._next(self._until_s)
        if message is None:
            self._comes = False
            raise TooSlow(f"the body did not come within {self._seconds:g} s; send it at once")
        if self._size > self._bytes_max:
            raise TooLarge(self._bytes_max)
        self.weighs(self._read)
        return message

    def weighs(self, size: int) -> None:
        """It takes up so many bytes from now on. Raises `TooMany` when that is too much."""
        held = self._held.bytes - self._weight + size
        if size > SMALL_BYTES and held > HELD_BYTES_MAX:
            raise TooMany("too much is sent at once, by all together; try again in a second")
        self._held.bytes, self._weight = held, size

    @property
    def _size(self) -> int:
        return max(self._announced, self._read)

    async def drain(self) -> None:
        """Read what nobody has wanted, within reason."""
        until_s = trio.current_time() + DRAIN_S
        while self._comes and not self.ended and self._size <= DRAIN_BYTES_MAX:
            self._comes = await self._next(until_s) is not None

    async def _next(self, until_s: float) -> Message | None:
        with trio.CancelScope(deadline=until_s):
            message = await self._receive()
            self._read += len(message.get("body", b""))
            self.ended = not message.get("more_body", False)
            return message
        return None


class _Answer:
    """What goes out; its status is None until it has begun."""

    def __init__(self, send: Send, body: _Body) -> None:
        self._send = send
        self._body = body
        self.status: int | None = None

    async def send(self, message: Message) -> None:
        """Send the next piece; nobody reads an answer while still sending."""
        if message["type"] == "http.response.start":
            await self._body.drain()
            self.status = message["status"]
        await self._send(message)


def _refuse_two_lengths(scope: Scope) -> None:
    """A length and chunks at once: somebody on the way may go by the one and we by the other.

    What we took for this request may then hide another one, so nothing more is read of the line;
    RFC 9112, section 6.1.
    """
    if len({name.lower() for name, _ in scope["headers"]} & _LENGTHS) > 1:
        raise BadRequest(
            "the request has a content-length and a transfer-encoding; send one of the two",
            headers={"Connection": "close"},
        )


def _announced_bytes(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name.lower() == b"content-length" and value.isdigit():
            return int(value[:20])
    return 0


def _where(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""
