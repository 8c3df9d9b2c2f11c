"""One connection: Hypercorn's, with patience that ends and errors that are told in JSON.

Rule of this file: this is what we change of Hypercorn, and the only place that knows its inside.
HTTP/1.1 is all it speaks: there is no browser in front of it that would gain by more.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final, cast

import h11
import msgspec
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.events import Closed, Event, Updated
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.events import StreamClosed
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.trio.task_group import TaskGroup
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState
from hypercorn.utils import parse_socket_addr

SEND_S: Final = 30.0
"""How long a client may read nothing of what it has asked for."""
SENT_AT_ONCE_BYTES: Final = 64 * 1024

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

    async def receive_some(self, most: int) -> bytes | bytearray:
        """What has come, at most so many bytes."""
        return await self._stream.receive_some(most)

    async def send_eof(self) -> None:
        """There is no more to send."""
        await self._stream.send_eof()

    async def aclose(self) -> None:
        """Close it."""
        await self._stream.aclose()

    def cut(self) -> None:
        """Close it now, whoever uses it."""
        self.socket.close()


class Connection(TCPServer):
    """One client's connection, which ends when the client has left and its requests have ended.

    Hypercorn's own goes on for as long as one that is idle may, and a thousand quick clients would
    keep all others out.
    """

    _left = False

    def __init__(
        self, app: ASGIWrapper, config: Config, context: WorkerContext, stream: PatientStream
    ) -> None:
        super().__init__(app, config, context, ConnectionState({}), cast("Any", stream))

    async def run(self) -> None:
        """Serve it to its end."""
        sock = self.stream.socket
        try:
            client = parse_socket_addr(sock.family, sock.getpeername())
            server = parse_socket_addr(sock.family, sock.getsockname())
            async with TaskGroup() as tasks:
                self._task_group = tasks
                protocol = _Protocol(
                    self.app,
                    self.config,
                    self.context,
                    tasks,
                    ConnectionState(self.state),
                    ssl=False,
                    client=client,
                    server=server,
                    send=self.protocol_send,
                )
                self.protocol = cast("Any", protocol)
                await self.protocol.initiate()
                await self.idle_task.restart(tasks, self._idle_timeout)
                await self._read_data()
                self._left = True
                await self.idle_task.stop()
        except OSError:
            pass  # it is gone
        finally:
            await self._close()

    async def protocol_send(self, event: Event) -> None:
        """Pass on what the protocol says."""
        if not (self._left and isinstance(event, Updated)):
            await super().protocol_send(event)


class _Protocol(H11Protocol):
    """Tells what is wrong with a request in the words of the rest of the server.

    And tells an endpoint that goes on answering that nobody is there any more.
    """

    _gone = False

    async def handle(self, event: Event) -> None:
        """Take what came in."""
        if isinstance(event, Closed):
            self._gone = True
        await super().handle(event)

    async def stream_send(self, event: StreamEvent) -> None:
        """Send what an endpoint answers. Raises `BrokenPipeError` once its client has gone."""
        if self._gone and not isinstance(event, StreamClosed):
            raise BrokenPipeError("the client has gone")
        await super().stream_send(event)

    async def _check_protocol(self, event: h11.Request) -> None:
        """Stay with HTTP/1.1: a client that offers more (`Upgrade: h2c`) has to take that.

        Raises `h11.RemoteProtocolError` for one that speaks nothing else.
        """
        if event.http_version >= b"2":
            await self._send_error_response(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
            raise h11.RemoteProtocolError("this is HTTP/2")

    async def _send_error_response(self, status_code: int) -> None:
        known = _SENTENCES.get(status_code)
        phrase = HTTPStatus(status_code).phrase.lower()
        body = msgspec.json.encode(
            {"error": known or f"this is not HTTP as it should be: {phrase}"}
        )
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        await self._send_h11_event(h11.Response(status_code=status_code, headers=headers))
        await self._send_h11_event(h11.Data(data=body))
        await self._send_h11_event(h11.EndOfMessage())
