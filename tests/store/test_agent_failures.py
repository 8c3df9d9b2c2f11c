"""`AgentStore` over lines and servers that fail: each failure is the error that the worker knows.

The server here is a socket that says what the test wants, down to the byte.
"""

import gzip
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
    UsageError,
)
from trioworker.ids import new_id
from trioworker.model.outcome import Executed, Succeeded
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
        b'HTTP/1.1 200 OK\r\ncontent-length: 100004\r\n\r\n{"x"' + b":" + b"[" * 99_999,
        b"SSH-2.0-OpenSSH\r\n",
    ],
)
async def test_a_reply_that_cannot_be_read_leaves_open_what_was_done(raw: bytes) -> None:
    """Cut in its head, cut in its body, of another shape, too deep, or not HTTP at all."""
    error = await failure_of(saying(raw))
    assert (type(error), error.ambiguous) == (ConnectionLost, True)


async def test_a_server_that_says_nothing_is_given_up() -> None:
    """After the time that an answer may take; what it did meanwhile nobody knows."""
    error = await failure_of(never, timeout_s=0.1)
    assert (type(error), error.ambiguous) == (StatementTimeout, True)


@pytest.mark.parametrize("line", [b"x-more: of this\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"])
async def test_a_reply_that_comes_for_ever_is_given_up(line: bytes) -> None:
    """However little of it comes at a time, so that no silence is ever long."""

    async def answer(stream: trio.SocketStream) -> None:
        await stream.send_all(line if line.startswith(b"HTTP") else b"HTTP/1.1 200 OK\r\n")
        while await still_there(stream, line):  # noqa: ASYNC110 - until the other side ends it
            await trio.sleep(0.01)

    with trio.fail_after(30):
        error = await failure_of(answer, timeout_s=0.2)
    assert (type(error), error.ambiguous) == (StatementTimeout, True)


async def test_a_reply_without_an_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Long before it has filled the memory."""
    monkeypatch.setattr("trioworker.store.line.REPLY_BYTES_MAX", 1_000_000)

    async def answer(stream: trio.SocketStream) -> None:
        await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n")
        while await still_there(stream, b" " * 60_000):
            pass

    with trio.fail_after(30):
        error = await failure_of(answer)
    assert (type(error), error.ambiguous) == (StatementTimeout, True)


async def test_a_reply_that_is_long_once_unpacked_is_not_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A few bytes cannot fill the memory either."""
    monkeypatch.setattr("trioworker.store.agent.REPLY_BYTES_MAX", 1_000_000)
    packed = gzip.compress(b" " * 1_000_001)
    error = await failure_of(with_status("200 OK", packed, "content-encoding: gzip"))
    assert (type(error), error.ambiguous) == (ConnectionLost, True)
    assert "too long" in str(error)


async def still_there(stream: trio.SocketStream, data: bytes) -> bool:
    """Whether somebody takes these bytes."""
    try:
        await stream.send_all(data)
    except trio.BrokenResourceError:
        return False
    return True


async def test_an_address_that_is_none_is_said_to_be() -> None:
    """It is the user's to mend."""
    with pytest.raises(UsageError, match="will not do"):
        async with open_agent_store(
            "http://é\\.example", "token", batches=True, now_s=trio.current_time
        ):
            pass


async def test_what_went_wrong_is_told_in_words() -> None:
    """Also where the error that comes out has none of its own, as with TLS to a plain port."""
    async with store_at(saying(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as plain:
        address = plain._line.server.replace("http:", "https:")  # noqa: SLF001 - nobody else knows it
        async with open_agent_store(
            address, "token", batches=True, now_s=trio.current_time
        ) as store:
            with pytest.raises(ConnectionLost, match="SSL") as caught:
                await store.heartbeat(WORKER, Counters(0, 0, 0))
    assert not caught.value.ambiguous


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
    bad = Executed(claimed_job(1), Succeeded(b"1"), 0.0, 0.1, log="half a \ud83d")
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
        assert (await store.commit(WORKER, [broken], again=False)).lost == set()
    assert b'"result":"eyL/"' in said
