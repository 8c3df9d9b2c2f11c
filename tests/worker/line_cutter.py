"""A proxy for PostgreSQL's socket that can lose a reply: the ambiguous failure, real.

It forwards bytes both ways. When armed for a lane (pull, commit), it waits for the next time the
server answers on that lane's connection, throws that answer away, and hangs up: the transaction
has taken effect, and the worker cannot know.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import trio


class LineCutter:
    """Forwards connections; `cut_next_reply` arms it once, `cuts` counts what it did."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._armed: bytes | None = None
        self._spared = 0
        self.cuts = 0

    def cut_next_reply(self, lane: str, *, after: int = 0) -> None:
        """Lose the next answer on a connection of this lane, or the one `after` so many."""
        self._armed = f"trioworker {lane}".encode()
        self._spared = after

    def has_cut(self, times: int) -> bool:
        """Whether so many answers were lost."""
        return self.cuts >= times

    async def serve(self, client: trio.SocketStream) -> None:
        """One connection, until either side closes or the line is cut."""
        async with client, await trio.open_unix_socket(self._server) as server:
            first = await client.receive_some(65536)
            await server.send_all(first)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_forward, client, server, nursery.cancel_scope)
                while data := await server.receive_some(65536):
                    if self._armed is not None and self._armed in first:
                        if self._spared:
                            self._spared -= 1
                            await client.send_all(data)
                            continue
                        self._armed = None
                        self.cuts += 1
                        break
                    await client.send_all(data)
                nursery.cancel_scope.cancel()


async def _forward(
    source: trio.SocketStream, sink: trio.SocketStream, scope: trio.CancelScope
) -> None:
    try:
        while data := await source.receive_some(65536):
            await sink.send_all(data)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass
    scope.cancel()


@asynccontextmanager
async def line_cutter(url: str, folder: Path) -> AsyncIterator[tuple[str, LineCutter]]:
    """The address to connect to instead of `url`, and the cutter."""
    directory = parse_qs(urlsplit(url).query)["host"][0]
    cutter = LineCutter(f"{directory}/.s.PGSQL.5432")
    listener = trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_STREAM)
    await listener.bind(str(folder / ".s.PGSQL.5432"))
    listener.listen(16)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, cutter.serve, [trio.SocketListener(listener)])
        yield url.replace(directory, str(folder)), cutter
        nursery.cancel_scope.cancel()
