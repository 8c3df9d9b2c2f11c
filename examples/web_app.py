"""A web application that lets workers do its work: asyncio, and no framework in the way.

A request enqueues a job, waits for its result, and gives up waiting long before a browser would.
"""

import asyncio
import os
import sys
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from urllib.parse import unquote

from trioworker import (
    Client,
    JobFailed,
    StoreError,
    TrioworkerError,
    UsageError,
    WaitTimeout,
    open_client,
)


async def answer(client: Client, target: str) -> tuple[HTTPStatus, str]:
    """What to say to a GET of `target`."""
    root, name = target[:7], unquote(target[7:])
    if root != "/greet/" or not name:
        return HTTPStatus.NOT_FOUND, "try /greet/world"
    try:
        job = await client.enqueue("greet", {"name": name}, awaited=True)
        return HTTPStatus.OK, await client.result(job, timeout_s=10)
    except WaitTimeout as error:
        return HTTPStatus.GATEWAY_TIMEOUT, f"{error}; it goes on, is there a worker?"
    except JobFailed as failed:
        return HTTPStatus.INTERNAL_SERVER_ERROR, failed.reason
    except UsageError as error:
        return HTTPStatus.BAD_REQUEST, str(error)
    except StoreError as error:
        return HTTPStatus.SERVICE_UNAVAILABLE, str(error)


async def serve(client: Client, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One request, one response, and goodbye."""
    with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        head = await reader.readuntil(b"\r\n\r\n")
        _method, target, *_ = head.decode("latin-1").split(maxsplit=2)
        status, text = await answer(client, target)
        writer.write(
            f"HTTP/1.0 {status.value} {status.phrase}\r\n"
            f"Content-Type: text/plain; charset=utf-8\r\n\r\n{text}\n".encode()
        )
        await writer.drain()
    writer.close()


async def main(url: str, port: int) -> None:
    """Serve until somebody stops it; all requests share one client."""
    async with open_client(url) as client:
        server = await asyncio.start_server(partial(serve, client), "127.0.0.1", port)
        port = server.sockets[0].getsockname()[1]
        print(f"listening on http://localhost:{port}/greet/world", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    address = os.environ.get("DATABASE_URL") or sys.exit("set DATABASE_URL to your PostgreSQL's")
    try:
        asyncio.run(main(address, int(sys.argv[1]) if sys.argv[1:] else 8080))
    except TrioworkerError as wrong:
        sys.exit(str(wrong))
    except KeyboardInterrupt:
        print("goodbye")
