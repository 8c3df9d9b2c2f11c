"""One connection: HTTP/1.1 as h11 has it, and an app that answers one request after the other.

Rule of this file: a connection is one task and has no queues. The app is called in it, reads of a
body what it wants and when it wants it, and what it answers goes straight to the socket.
"""

from collections.abc import Mapping
from contextlib import suppress
from email.utils import formatdate
from http import HTTPStatus
from typing import Final
from urllib.parse import unquote

import h11
import msgspec
import trio
from starlette.types import ASGIApp, Message, Scope

from trioworker.server.errors import BadRequest

SEND_S: Final = 30.0
"""How long a client may read nothing of what it has asked for."""
SENT_AT_ONCE_BYTES: Final = 64 * 1024
RECEIVED_AT_ONCE_BYTES: Final = 64 * 1024
HEAD_BYTES_MAX: Final = 16 * 1024
AHEAD_BYTES_MAX: Final = HEAD_BYTES_MAX
"""What a client may send of its next requests while it waits for an answer."""
GONE: Final[Message] = {"type": "http.disconnect"}

_LENGTH: Final = b"content-length"
_NO_BODY: Final = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})
_SENTENCES: Final[Mapping[int, str]] = {
    431: "the request's head is too large; send fewer and shorter headers",
}


class PatientStream:
    """A stream that waits for its reader, but not for ever."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self.socket = stream.socket

    async def send_all(self, data: bytes) -> None:
        """Send it as fast as it is read. Raises `trio.BrokenResourceError` when nobody reads."""
        for start in range(0, len(data), SENT_AT_ONCE_BYTES):
            with trio.move_on_after(SEND_S) as patience:
                await self._stream.send_all(data[start : start + SENT_AT_ONCE_BYTES])
            if patience.cancelled_caught:
                self.cut()
                raise trio.BrokenResourceError

    async def receive_some(self) -> bytes:
        """What has come; nothing once nothing more will."""
        return bytes(await self._stream.receive_some(RECEIVED_AT_ONCE_BYTES))

    async def aclose(self) -> None:
        """Say that there is no more to send, and close it."""
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await self._stream.send_eof()
        await self._stream.aclose()

    def cut(self) -> None:
        """Close it now, whoever uses it."""
        self.socket.close()


class Connection:
    """One client's connection. It may do nothing for `idle_s` seconds, nor take longer for a head.

    HTTP/1.1 is all it speaks: there is no browser in front of it that would gain by more.
    """

    def __init__(self, app: ASGIApp, stream: PatientStream, *, idle_s: float) -> None:
        self._app = app
        self._stream = stream
        self._idle_s = idle_s
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES_MAX)
        self._date = _Date()
        self._between = trio.CancelScope()
        self._retired = False

    async def run(self) -> None:
        """Serve it to its end."""
        try:
            client = self._stream.socket.getpeername()[:2]
            server = self._stream.socket.getsockname()[:2]
            while (request := await self._next_request()) is not None:
                scope = {**_scope(request), "client": client, "server": server}
                exchange = _Exchange(self._http, self._stream, request, self._date)
                await self._app(scope, exchange.receive, exchange.send)
                if exchange.gone or not self._is_free():
                    break
                self._http.start_next_cycle()
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # it is gone
        finally:
            with trio.CancelScope(shield=True):
                await self._stream.aclose()

    def retire(self) -> None:
        """Take no request after the one that is under way."""
        self._retired = True
        self._between.cancel()

    def cut(self) -> None:
        """End it now, in the middle of whatever it does."""
        self._stream.cut()

    def _is_free(self) -> bool:
        """Whether a request was read to its end and answered to its end, and others may follow."""
        return self._http.our_state is h11.DONE and self._http.their_state is h11.DONE

    async def _next_request(self) -> h11.Request | None:
        """The next head; None when none comes, or none that could be answered by the app."""
        event: h11.Event | type[h11.NEED_DATA | h11.PAUSED] = h11.NEED_DATA
        with trio.move_on_after(self._idle_s) as self._between:
            if self._retired:
                return None
            try:
                while (event := self._http.next_event()) is h11.NEED_DATA:
                    self._http.receive_data(await self._stream.receive_some())
            except h11.RemoteProtocolError as error:
                await self._refuse(error.error_status_hint)
                return None
        if not isinstance(event, h11.Request):
            return None
        if event.http_version >= b"2":
            await self._refuse(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
            return None
        return event

    async def _refuse(self, status: int) -> None:
        """Tell what is wrong with a request in the words of the rest of the server."""
        phrase = HTTPStatus(status).phrase.lower()
        sentence = _SENTENCES.get(status, f"this is not HTTP as it should be: {phrase}")
        body = msgspec.json.encode({"error": sentence})
        headers = [
            (b"content-type", b"application/json"),
            (_LENGTH, str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        await self._stream.send_all(
            _sent(
                self._http,
                h11.Response(status_code=status, headers=headers),
                h11.Data(data=body),
                h11.EndOfMessage(),
            )
        )


class _Exchange:
    """One request and its answer, as ASGI has them; `gone` says that nobody waits for it."""

    def __init__(
        self, http: h11.Connection, stream: PatientStream, request: h11.Request, date: "_Date"
    ) -> None:
        self._http = http
        self._stream = stream
        self._date = date
        self._is_read = False
        self._is_broken = False
        self._without_body = request.method == b"HEAD"
        self._unsent = b""
        self.gone = False

    async def receive(self) -> Message:
        """The next piece of the body; after its end, in the end, that the client has gone."""
        if self._is_read:
            await self._until_gone()
        if self.gone or self._is_broken:
            return GONE
        if self._http.they_are_waiting_for_100_continue:
            go_on = h11.InformationalResponse(status_code=100, headers=[])
            await self._write(_sent(self._http, go_on))
        try:
            while not (piece := self._come()) and not self._is_read:
                if not await self._more():
                    return GONE
        except h11.RemoteProtocolError as error:
            self._is_broken = True
            raise BadRequest(f"the body is not as HTTP has it: {error}") from None
        return {"type": "http.request", "body": piece, "more_body": not self._is_read}

    def _come(self) -> bytes:
        """What has come of the body so far."""
        pieces: list[bytes] = []
        while type(event := self._http.next_event()) is h11.Data:
            pieces.append(bytes(event.data))
        self._is_read = type(event) is h11.EndOfMessage
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def _until_gone(self) -> None:
        """Whoever sends too much ahead is not looked at until it is answered."""
        ahead_bytes = 0
        while ahead_bytes <= AHEAD_BYTES_MAX and (more := await self._more()):
            ahead_bytes += more
        if not self.gone:
            await trio.sleep_forever()

    async def _more(self) -> int:
        """How many bytes have come; none once the client has gone."""
        try:
            came = await self._stream.receive_some()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            came = b""
        self.gone = not came
        if came:
            self._http.receive_data(came)
        return len(came)

    async def send(self, message: Message) -> None:
        """The next piece of the answer. Raises `BrokenPipeError` once its client has gone."""
        if self.gone:
            raise BrokenPipeError("the client has gone")
        if message["type"] == "http.response.start":
            data = self._begun(message["status"], message["headers"])
        else:
            data = self._unsent + self._continued(message)
            self._unsent = b""
        if data:
            await self._write(data)

    async def _write(self, data: bytes) -> None:
        try:
            await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            self.gone = True
            raise BrokenPipeError("the client has gone") from error

    def _begun(self, status: int, headers: list[tuple[bytes, bytes]]) -> bytes:
        """The head, unless it can wait: of a body that has a length the first piece comes soon."""
        self._without_body = self._without_body or status in _NO_BODY
        dated = [*headers, (b"date", self._date.now())]
        head = _sent(self._http, h11.Response(status_code=status, headers=dated))
        if any(name.lower() == _LENGTH for name, _ in headers):
            self._unsent, head = head, b""
        return head

    def _continued(self, message: Message) -> bytes:
        events: list[h11.Event] = []
        if not self._without_body:
            events.append(h11.Data(data=message.get("body", b"")))
        if not message.get("more_body", False):
            events.append(h11.EndOfMessage())
        return _sent(self._http, *events)


class _Date:
    """The time as HTTP writes it, which is made once a second."""

    def __init__(self) -> None:
        self._text = b""
        self._until_s = 0.0

    def now(self) -> bytes:
        """The time now."""
        now_s = trio.current_time()
        if now_s >= self._until_s:
            self._text, self._until_s = formatdate(usegmt=True).encode(), now_s + 1
        return self._text


def _sent(http: h11.Connection, *events: h11.Event) -> bytes:
    """What goes to the other side."""
    return b"".join(http.send(event) or b"" for event in events)


def _scope(request: h11.Request) -> Scope:
    path, _, query = request.target.partition(b"?")
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": request.http_version.decode(),
        "method": request.method.decode(),
        "scheme": "http",
        "path": unquote(path.decode("ascii")),
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": list(request.headers),
    }
