"""HTTP/1.1 as the server speaks it, byte by byte."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import pytest
import trio

from tests.server.serving import PATIENCE_S, said_to, served


async def test_requests_that_come_together_are_answered_in_order() -> None:
    """A client need not wait before it asks the next thing, and may ask for an end."""
    ask = b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\n%d"
    last = b"POST /echo HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 1\r\n\r\n3"
    async with served() as server:
        said = await said_to(server.address, ask % 1 + ask % 2 + last)

    answers = said.split(b"HTTP/1.1 200 ")[1:]
    assert [answer[-1:] for answer in answers] == [b"1", b"2", b"3"]
    assert [b"\r\nconnection: close\r\n" in answer.lower() for answer in answers] == [
        False, False, True
    ]  # fmt: skip


async def test_who_asks_whether_to_go_on_is_told_to() -> None:
    """As curl does before a long body, and in one answer with what comes of it."""
    head = b"POST /echo HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 1\r\n\r\n"
    async with served() as server:
        stream = await trio.open_tcp_stream(*server.address[:2])
        async with stream:
            with trio.fail_after(PATIENCE_S):
                await stream.send_all(head)
                first = await stream.receive_some()
                await stream.send_all(b"7")
                second = await stream.receive_some()

    assert first == b"HTTP/1.1 100 \r\n\r\n"
    assert second.endswith(b"\r\n\r\n7")


async def test_a_head_alone_is_answered_with_one() -> None:
    """Who does not want to read the body is told its length, and may go on asking."""
    ask = b"HEAD /short HTTP/1.1\r\nhost: a\r\n\r\n"
    async with served() as server:
        said = await said_to(
            server.address, ask + ask.replace(b"host", b"connection: close\r\nhost")
        )

    first, second, *more = said.split(b"HTTP/1.1 200 ")[1:]
    assert not more
    assert first.endswith(b"\r\n\r\n")
    assert b"\r\ncontent-length: 5\r\n" in second


async def test_an_answer_says_when_it_was_given() -> None:
    """Caches and proxies on the way go by it."""
    async with served() as server:
        said = await server.client.get("/short")

    given = parsedate_to_datetime(said.headers["date"])
    assert abs(datetime.now(UTC) - given) < timedelta(hours=1)


@pytest.mark.parametrize("body", [b"zz\r\n\r\n", b"1\r\n12345"])
async def test_a_body_in_broken_pieces_is_refused(body: bytes) -> None:
    """And nothing that follows it is taken for a request."""
    head = b"POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
    async with served() as server:
        said = await said_to(
            server.address, head + body + b"GET /short HTTP/1.1\r\nhost: a\r\n\r\n"
        )

    assert said.startswith(b"HTTP/1.1 400 ")
    assert said.count(b"HTTP/1.1") == 1
    assert b'{"error":"the body is not as HTTP has it' in said


async def test_a_client_that_talks_on_is_answered_all_the_same() -> None:
    """What comes during a wait is bounded, and is no reason to end it."""
    async with served() as server:
        stream = await trio.open_tcp_stream(*server.address[:2])
        async with stream, trio.open_nursery() as nursery:
            await stream.send_all(b"GET /wait HTTP/1.1\r\nhost: a\r\n\r\n")
            await server.waiting.wait()
            nursery.start_soon(_talk, stream)
            server.scope.cancel()
            with trio.fail_after(PATIENCE_S):
                said = await stream.receive_some()
            nursery.cancel_scope.cancel()

    assert said.startswith(b"HTTP/1.1 200 ")


async def _talk(stream: trio.SocketStream) -> None:
    with suppress(trio.BrokenResourceError):
        while True:
            await stream.send_all(b"GET /short HTTP/1.1\r\nhost: a\r\n\r\n" * 1_000)
