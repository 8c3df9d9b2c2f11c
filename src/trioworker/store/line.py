"""The line to a server: requests over HTTP/1.1, on connections that are kept for the next ones.

Rule of this file: nothing is sent twice, and what is raised says whether it may have been done.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final, NamedTuple, Protocol

import h11
import trio

from trioworker.errors import ConnectionLost, StatementTimeout
from trioworker.store.reach import Headers, ProxyRefused, Reached, Way, take

CONNECT_S: Final = 10.0
KEPT_S: Final = 5.0
"""How long a connection is kept that nobody uses: less than anybody on the way keeps one."""
REPLY_TIMES: Final = 10
"""How many times as long as a silence may last a whole reply may take, which comes bit by bit."""
REPLY_BYTES_MAX: Final = 1024 * 1024 * 1024
RECEIVED_AT_ONCE_BYTES: Final = 64 * 1024


class Reply(NamedTuple):
    """What a server has answered; the names of headers are in small letters."""

    status: int
    reason: str
    headers: Headers
    body: bytes

    def header(self, name: bytes) -> bytes | None:
        """The header of this name."""
        return next((value for known, value in self.headers if known == name), None)


class Line(Protocol):
    """What a store knows of its server; the simulator brings a line of its own."""

    @property
    def server(self) -> str:
        """What the server is called in messages."""
        ...

    async def ask(self, path: str, headers: Headers, body: bytes, *, timeout_s: float) -> Reply:
        """The reply to a POST; `timeout_s` bounds each silence, and `REPLY_TIMES` as much a reply.

        Raises `ConnectionLost` and `StatementTimeout`, ambiguous once the server was reached.
        """
        ...


@asynccontextmanager
async def open_line(base_url: str) -> AsyncIterator["HttpLine"]:
    """A line to the server at `base_url`. Raises `UsageError` for an address that is none."""
    line = HttpLine(base_url)
    try:
        yield line
    finally:
        line.close()


class HttpLine:
    """A `Line` over sockets: as many connections as there are requests at a time."""

    def __init__(self, base_url: str) -> None:
        self.server = base_url
        self._way = Way(base_url)
        self._kept: list[_Connection] = []

    @property
    def is_local(self) -> bool:
        """Whether what is said on it stays on this host."""
        return self._way.is_local

    async def ask(self, path: str, headers: Headers, body: bytes, *, timeout_s: float) -> Reply:
        """See `Line.ask`."""
        target = self._way.target + path.encode()
        headers = (*self._way.headers, *headers, (b"content-length", str(len(body)).encode()))
        connection = self._take() or await self._connect(min(CONNECT_S, timeout_s))
        try:
            request = h11.Request(method=b"POST", target=target, headers=list(headers))
            return await connection.ask(request, body, timeout_s)
        except (OSError, trio.BrokenResourceError, h11.ProtocolError) as error:
            raise ConnectionLost(
                f"the line to {self.server} was lost: {_said(error)}", ambiguous=True
            ) from error
        except trio.TooSlowError:
            raise StatementTimeout(
                f"no answer from {self.server} in {timeout_s:g} s", ambiguous=True
            ) from None
        except _Endless:
            raise StatementTimeout(
                f"the reply of {self.server} has no end", ambiguous=True
            ) from None
        finally:
            if connection.is_free:
                self._kept.append(connection)
            else:
                connection.close()

    def close(self) -> None:
        """Hang up."""
        while self._kept:
            self._kept.pop().close()

    def _take(self) -> "_Connection | None":
        """The connection that was used last; those that nobody needs any more grow old."""
        while self._kept:
            connection = self._kept.pop()
            if connection.is_usable:
                return connection
            connection.close()
        return None

    async def _connect(self, timeout_s: float) -> "_Connection":
        try:
            with trio.fail_after(timeout_s):
                return _Connection(await self._way.go())
        except (OSError, trio.BrokenResourceError, trio.TooSlowError, ProxyRefused) as error:
            raise ConnectionLost(f"{self.server} cannot be reached: {_said(error)}") from error


class _Endless(Exception):
    """A reply is too long, or takes too long as a whole."""


class _Connection:
    """One connection, for one request after the other."""

    def __init__(self, reached: Reached) -> None:
        self._stream, self._socket = reached
        self._http = h11.Connection(h11.CLIENT)
        self._kept_until_s = 0.0

    @property
    def is_free(self) -> bool:
        """Whether all that was asked is answered, and more may be asked."""
        return self._http.our_state is h11.IDLE

    @property
    def is_usable(self) -> bool:
        """Whether it is young, and nothing has come on it: that would be its end."""
        return trio.current_time() < self._kept_until_s and not self._socket.is_readable()

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    async def ask(self, request: h11.Request, body: bytes, timeout_s: float) -> Reply:
        """One request and its reply."""
        send = self._http.send
        said = (send(request), send(h11.Data(data=body)), send(h11.EndOfMessage()))
        patience = _Patience(timeout_s)
        with patience.scope:
            # Whoever takes no more of it may have answered all the same.
            with suppress(trio.BrokenResourceError):
                await self._stream.send_all(b"".join(part for part in said if part))
            reply = await self._reply(patience)
            self._rest()
            return reply
        raise patience.verdict()

    async def _reply(self, patience: "_Patience") -> Reply:
        head: h11.Response | None = None
        parts: list[bytes] = []
        size = 0
        while True:
            match self._http.next_event():
                case h11.NEED_DATA:
                    patience.renew()
                    take(self._http, await self._stream.receive_some(RECEIVED_AT_ONCE_BYTES))
                case h11.Data(data):
                    parts.append(bytes(data))
                    size += len(data)
                    if size > REPLY_BYTES_MAX:
                        raise _Endless
                case h11.Response() as head:
                    pass
                case h11.EndOfMessage():
                    break
                case _:
                    pass  # it says that it goes on
        assert head is not None
        reason = head.reason.decode("latin-1")
        return Reply(head.status_code, reason, list(head.headers), b"".join(parts))

    def _rest(self) -> None:
        """Get ready for the next request, unless one side wants to be rid of the other."""
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
            self._kept_until_s = trio.current_time() + KEPT_S


class _Patience:
    """How long a reply is waited for: from one piece to the next, and as a whole."""

    def __init__(self, silence_s: float) -> None:
        self._silence_s = silence_s
        self._until_s = trio.current_time() + REPLY_TIMES * silence_s
        self.scope = trio.CancelScope()
        self.renew()

    def renew(self) -> None:
        """Something has come."""
        self.scope.deadline = min(trio.current_time() + self._silence_s, self._until_s)

    def verdict(self) -> Exception:
        """What it means that it has ended."""
        return _Endless() if self.scope.deadline == self._until_s else trio.TooSlowError()


def _said(error: Exception) -> str:
    """What went wrong, in the words of the nearest cause that has any."""
    cause: BaseException | None = error
    while cause is not None and not str(cause):
        cause = cause.__cause__ or cause.__context__
    return str(cause or type(error).__name__)
