"""HTTP in the nursery of whoever calls, with bounds on all that a client can hold.

Rule of this file: no client costs more than its connection, and however one ends, the others go on.
It handles no signals.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Final

import trio
from starlette.applications import Starlette

from trioworker.errors import UsageError
from trioworker.server.app import Stopping
from trioworker.server.connection import Connection, PatientStream
from trioworker.settings import Address

IDLE_S: Final = 20.0
"""How long a connection may do nothing, and how long the head of a request may take."""
CONNECTIONS_MAX: Final = 1_000
GRACE_S: Final = 5.0
"""What requests under way are left to finish once the server stops."""
BACKLOG: Final = 1_024

TURN_AWAY_S: Final = 0.5

_NO_ROOM: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\n"
    b"Connection: close\r\nContent-Length: 55\r\n\r\n"
    b'{"error":"too many connections; try again in a second"}'
)
_TAKEN: Final = {errno.EADDRINUSE}
_NOT_ALLOWED: Final = {errno.EACCES, errno.EPERM}


async def serve(
    app: Starlette,
    listen: Address,
    *,
    or_any_port: bool = False,
    grace_s: float = GRACE_S,
    hurry: trio.Event | None = None,
    task_status: trio.TaskStatus[Address] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled; then finish what is under way, for `grace_s` seconds at most.

    Or until there is a `hurry`.
    Tells `task_status` the address it is bound to. A port of 0 is any that is free, and so is one
    that is taken with `or_any_port`. Raises `UsageError` when the address cannot be had.
    """
    listeners = await _bind(listen, or_any_port=or_any_port)
    server = _Server(app, grace_s, trio.Event() if hurry is None else hurry)
    async with trio.open_nursery() as nursery:
        connections: trio.Nursery = await nursery.start(server.keep)
        try:
            task_status.started(_bound(listeners[0]))
            await trio.serve_listeners(server.handle, listeners, handler_nursery=connections)
        finally:
            server.stop()


class _Server:
    """The connections, which outlive the call to stop for a while."""

    def __init__(self, app: Starlette, grace_s: float, hurry: trio.Event) -> None:
        self._app = app
        self._stopping: Stopping = app.state.stopping
        self._grace_s = grace_s
        self._hurry = hurry
        self._stop = trio.Event()
        self._open: set[Connection] = set()
        self._last_closed = trio.Event()

    async def keep(self, *, task_status: trio.TaskStatus[trio.Nursery]) -> None:
        """The nursery of all connections, for as long as they may last."""
        with trio.CancelScope(shield=True):
            async with trio.open_nursery() as connections:
                task_status.started(connections)
                await self._stop.wait()
                for connection in self._open:
                    connection.retire()
                self._stopping.ask()
                await self._finish()
                # An endpoint may be amid sending, which it does not let itself be cancelled in.
                for connection in self._open:
                    connection.cut()
                connections.cancel_scope.cancel()

    async def _finish(self) -> None:
        """Let requests come to their end, while there is time."""
        if not self._open:
            return
        async with trio.open_nursery() as nursery:
            nursery.cancel_scope.deadline = trio.current_time() + self._grace_s
            nursery.start_soon(_cancel_after, self._hurry, nursery.cancel_scope)
            await self._last_closed.wait()
            nursery.cancel_scope.cancel()

    def stop(self) -> None:
        """Begin to stop."""
        self._stop.set()

    async def handle(self, stream: trio.SocketStream) -> None:
        """One connection, to its end, whatever that is."""
        if len(self._open) >= CONNECTIONS_MAX:
            await _turn_away(stream)
            return
        connection = Connection(self._app, PatientStream(stream), idle_s=IDLE_S)
        with self._counted(connection):
            try:
                await connection.run()
            except Exception:  # noqa: BLE001, S110 - the rule of this file; the guard has told of it
                pass
            finally:
                connection.cut()

    @contextmanager
    def _counted(self, connection: Connection) -> Iterator[None]:
        self._open.add(connection)
        try:
            yield
        finally:
            self._open.remove(connection)
            if not self._open and self._stop.is_set():
                self._last_closed.set()


async def _cancel_after(event: trio.Event, scope: trio.CancelScope) -> None:
    await event.wait()
    scope.cancel()


async def _turn_away(stream: trio.SocketStream) -> None:
    """Say that there is no room, to a client that takes it at once."""
    with trio.move_on_after(TURN_AWAY_S), suppress(trio.BrokenResourceError):
        await stream.send_all(_NO_ROOM)
        await stream.send_eof()
        while await stream.receive_some():
            pass  # what it has asked is not read, but a reset would take the answer from it
    await trio.aclose_forcefully(stream)


async def _bind(listen: Address, *, or_any_port: bool) -> list[trio.SocketListener]:
    open_at = partial(trio.open_tcp_listeners, host=listen.host, backlog=BACKLOG)
    try:
        try:
            listeners = await open_at(listen.port)
        except OSError as error:
            if not (or_any_port and error.errno in _TAKEN):
                raise
            listeners = await open_at(0)
    except OSError as error:
        raise UsageError(f"cannot listen at {listen}: {_why_not(error)}") from error
    for other in listeners[1:] if listen.port == 0 or or_any_port else ():
        await other.aclose()  # a name of several addresses, each with a port of its own
    return listeners[:1] if listen.port == 0 or or_any_port else listeners


def _why_not(error: OSError) -> str:
    if error.errno in _TAKEN:
        return "somebody else does; choose another port with --listen, 0 for any that is free"
    if error.errno in _NOT_ALLOWED:
        return "the system does not allow it; choose a port from 1024 on with --listen"
    reason = " ".join((error.strerror or str(error)).split())
    return f"{reason}; choose an address of this host with --listen"


def _bound(listener: trio.SocketListener) -> Address:
    host, port = listener.socket.getsockname()[:2]
    return Address(host, port)
