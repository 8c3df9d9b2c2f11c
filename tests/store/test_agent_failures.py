"""`AgentStore` over lines and servers that fail: each failure is the error that the worker knows.

The server here is a socket that says what the test wants, down to the byte.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trio

from tests.model.jobs import claimed_job
from trioworker.errors import (
    ConnectionLost,
    Contention,
    NotAllowed,
    Refused,
    ServerUnavailable,
    StatementTimeout,
    StoreError,
    UnknownStoreError,
)
from trioworker.ids import new_id
from trioworker.model.outcome import Executed, Failed, JobError, Succeeded
from trioworker.store.agent import AgentStore, open_agent_store
from trioworker.store.protocol import Counters

WORKER = new_id()
Answering = Callable[[trio.SocketStream], Awaitable[None]]


def saying(raw: bytes) -> Answering:
    """A server that reads a request, says `raw` and hangs up."""

    async def answer(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(raw)

    return answer


def with_status(line: str, body: bytes = b"", *headers: str) -> Answering:
    """A server that answers like this to everything."""
    head = [f"HTTP/1.1 {line}", f"content-length: {len(body)}", "connection: close", *headers]
    return saying("\r\n".join([*head, "", ""]).encode() + body)


async def never(stream: trio.SocketStream) -> None:
    """A server that reads and says nothing."""
    async for _ in stream:
        pass


@asynccontextmanager
async def store_at(answering: Answering, *, timeout_s: float = 30.0) -> AsyncIterator[AgentStore]:
    """A store whose server answers like this."""

    async def handle(stream: trio.SocketStream) -> None:
        async with stream:
            await answering(stream)

    async with trio.open_nursery() as nursery:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = listener.socket.getsockname()[1]
        nursery.start_soon(trio.serve_listeners, handle, [listener])
        async with open_agent_store(
            f"http://127.0.0.1:{port}",
            "token",
            batches=True,
            now_s=trio.current_time,
            timeout_s=timeout_s,
        ) as store:
            yield store
        nursery.cancel_scope.cancel()


async def failure_of(answering: Answering, *, timeout_s: float = 30.0) -> StoreError:
    """What a heartbeat raises there."""
    async with store_at(answering, timeout_s=timeout_s) as store:
        with pytest.raises(StoreError) as caught:
            await store.heartbeat(WORKER, Counters(0, 0, 0))
    return caught.value


@pytest.mark.parametrize(
    ("line", "kind", "ambiguous"),
    [
        ("401 Unauthorized", NotAllowed, False),
        ("403 Forbidden", NotAllowed, False),
        ("400 Bad Request", Refused, False),
        ("413 Content Too Large", Refused, False),
        ("429 Too Many Requests", ServerUnavailable, False),
        ("500 Internal Server Error", UnknownStoreError, True),
        ("502 Bad Gateway", ServerUnavailable, True),
        ("503 Service Unavailable", ServerUnavailable, True),
        ("504 Gateway Timeout", StatementTimeout, True),
        ("404 Not Found", UnknownStoreError, True),
    ],
)
async def test_a_status_is_an_error_of_the_store(
    line: str, kind: type[StoreError], *, ambiguous: bool
) -> None:
    """Also when it comes from somebody between agent and server, whose body is not ours."""
    error = await failure_of(with_status(line, b"<html>"))
    assert (type(error), error.ambiguous) == (kind, ambiguous)
    assert line in str(error)


async def test_what_the_server_names_is_believed() -> None:
    """A failure of its own database is the same error here as there."""
    body = b'{"error": "deadlock", "failure": "Contention", "sqlstate": "40P01"}'
    error = await failure_of(with_status("503 Service Unavailable", body))
    assert type(error) is Contention
    assert (str(error), error.sqlstate, error.ambiguous) == ("deadlock", "40P01", False)


@pytest.mark.parametrize("name", ["Contentions", "TrioworkerError", "StoreError; drop", ""])
async def test_an_error_that_nobody_knows_is_an_unknown_one(name: str) -> None:
    """A newer server may name one, and so may something that is no server of ours."""
    body = b'{"error": "new", "failure": "%s"}' % name.encode()
    assert type(await failure_of(with_status("503 Service Unavailable", body))) is UnknownStoreError


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]",
        b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\ncontent-encoding: gzip\r\n\r\nnope",
        b"SSH-2.0-OpenSSH\r\n",
    ],
)
async def test_a_reply_that_cannot_be_read_leaves_open_what_was_done(raw: bytes) -> None:
    """Cut in its head, cut in its body, of another shape, or not HTTP at all."""
    error = await failure_of(saying(raw))
    assert (type(error), error.ambiguous) == (ConnectionLost, True)


async def test_a_server_that_says_nothing_is_given_up() -> None:
    """After the time that an answer may take; what it did meanwhile nobody knows."""
    error = await failure_of(never, timeout_s=0.1)
    assert (type(error), error.ambiguous) == (StatementTimeout, True)


async def test_a_server_that_is_not_there_has_done_nothing() -> None:
    """So nothing has to be looked for afterwards."""
    async with store_at(never) as store:
        pass
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    await listener.aclose()
    async with open_agent_store(
        f"http://127.0.0.1:{port}", "token", batches=True, now_s=trio.current_time
    ) as store:
        with pytest.raises(ConnectionLost) as caught:
            await store.heartbeat(WORKER, Counters(0, 0, 0))
    assert not caught.value.ambiguous


async def test_what_cannot_be_sent_is_refused() -> None:
    """Before anything is sent, so that the batch is divided and only this outcome suffers."""
    bad = Executed(claimed_job(1), Failed(JobError("Error", "half a \ud83d")), 0.0, 0.1)
    async with store_at(never) as store:
        with pytest.raises(Refused, match="cannot be sent"):
            await store.commit(WORKER, [bad], again=False)


async def test_a_broken_result_is_sent_as_it_is() -> None:
    """It is the database's to refuse, and its neighbours' requests stay readable."""
    said = bytearray()

    async def reading(stream: trio.SocketStream) -> None:
        while b'"again"' not in said:
            said.extend(await stream.receive_some())
        await stream.send_all(
            b'HTTP/1.1 200 OK\r\ncontent-length: 11\r\nconnection: close\r\n\r\n{"lost":[]}'
        )

    broken = Executed(claimed_job(1), Succeeded(b'{"\xff'), 0.0, 0.1)
    async with store_at(reading) as store:
        assert await store.commit(WORKER, [broken], again=False) == set()
    assert b'"result":"eyL/"' in said
