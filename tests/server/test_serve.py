"""What a client can do to the server on a real socket, and what comes of it."""

from typing import Final

import httpx
import pytest
import trio
import trio.testing

from tests.server.serving import (
    ANY_PORT,
    BODY_BYTES_MAX,
    PATIENCE_S,
    ROUTES,
    Served,
    said_to,
    served,
    taken_port,
)
from trioworker.errors import UsageError
from trioworker.events import Event, RequestFailed, RequestServed
from trioworker.server.app import make_app
from trioworker.server.serve import serve
from trioworker.settings import Address

DEEP: Final = b'{"a":' + b"[" * 100_000


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "sentence"),
    [
        ("GET", "/nowhere", b"", 404, "there is nothing at this address"),
        ("GET", "/echo", b"", 405, "this address does not take this method"),
        ("POST", "/echo/", b"{}", 404, "there is nothing at this address"),
        ("POST", "/echo", b"{", 400, "the body is not JSON"),
        ("POST", "/echo", b'"\xff"', 400, "the body is not JSON"),
        ("POST", "/echo", DEEP[:BODY_BYTES_MAX], 400, "the body is nested too deeply"),
        ("POST", "/echo", bytes(BODY_BYTES_MAX + 1), 413, f"at most {BODY_BYTES_MAX} bytes"),
        ("GET", "/bug", b"", 500, "which is not your fault"),
    ],
)
async def test_what_goes_wrong_is_one_sentence_in_json(
    method: str, path: str, body: bytes, status: int, sentence: str
) -> None:
    """Every error is JSON with one sentence, and none tells what is nobody's business."""
    async with served() as server:
        said = await server.client.request(method, path, content=body)

    assert (said.status_code, said.headers["content-type"]) == (status, "application/json")
    assert sentence in said.json()["error"]
    assert "\n" not in said.text
    assert "password" not in said.text


async def test_a_body_whose_length_is_not_announced_is_bounded() -> None:
    """A body that comes in pieces is counted as it comes."""

    async def pieces() -> object:
        for _ in range(20):
            yield bytes(BODY_BYTES_MAX // 10)

    async with served() as server:
        said = await server.client.post("/echo", content=pieces())  # type: ignore[arg-type]  # async

    assert said.status_code == 413


async def test_a_bug_is_told_to_the_log_only() -> None:
    """Whoever runs the server reads what it was and where."""
    events: list[Event] = []
    async with served(emit=events.append) as server:
        await server.client.get("/bug")
        with pytest.raises(httpx.RemoteProtocolError):
            await server.client.get("/late_bug")
        still = await server.client.post("/echo", json=1)

    failed = [event for event in events if isinstance(event, RequestFailed)]
    assert [(one.route, one.message) for one in failed] == [
        ("/bug", "KeyError: 'the password'"),
        ("/late_bug", "KeyError: 'the password'"),
    ]
    assert "serving.py:" in failed[0].where
    assert still.json() == 1


async def test_every_request_is_counted_by_its_route() -> None:
    """What somebody types as an address does not become a name of its own."""
    events: list[Event] = []
    async with served(emit=events.append) as server:
        await server.client.post("/echo", json=1)
        await server.client.get("/made/up")

    counted = [(e.method, e.route, e.status) for e in events if isinstance(e, RequestServed)]
    assert counted == [("POST", "/echo", 200), ("GET", "", 404)]


async def test_the_bodies_of_all_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """While others send much, what is large has to come again, and what is small is taken."""
    monkeypatch.setattr("trioworker.server.guard.HELD_BYTES_MAX", 90_000)
    monkeypatch.setattr("trioworker.server.guard.SMALL_BYTES", 1_000)
    slow = b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 90000\r\n\r\n" + b" " * 80_000
    async with served() as server:

        async def status(body: str) -> int:
            return (await server.client.post("/echo", json=body)).status_code

        with trio.fail_after(PATIENCE_S):
            async with await trio.open_tcp_stream(*server.address[:2]) as other:
                await other.send_all(slow)
                while await status(" " * 20_000) != 429:
                    pass
                assert await status("small") == 200
            while await status(" " * 20_000) != 200:
                pass


async def test_a_slow_body_is_given_up() -> None:
    """Who announces a body and does not send it is told so and loses its connection."""
    async with served(body_s=0.1) as server:
        said = await said_to(
            server.address, b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n123"
        )
        others = await server.client.post("/echo", json=1)

    assert said.startswith(b"HTTP/1.1 408 ")
    assert b'{"error":"the body did not come within 0.1 s' in said
    assert others.status_code == 200


async def test_a_slow_head_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who never says what it wants loses its connection."""
    monkeypatch.setattr("trioworker.server.serve.IDLE_S", 0.1)
    async with served() as server:
        said = await said_to(server.address, b"GET /echo HTTP/1.1\r\nhost:")

    assert said == b""


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n1",
        b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n1",
        b"POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\n\r\n1",
        b"GET /\xff HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\nx: " + bytes([0]) + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost : a\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\nx: " + b"y" * 200_000,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
    ],
)
async def test_what_is_not_http_costs_its_sender_only(head: bytes) -> None:
    """A request that could be read in two ways is refused, and the server goes on."""
    async with served() as server:
        said = await said_to(server.address, head + b"\r\n\r\n")
        others = await server.client.post("/echo", json=1)

    first_line, _, rest = said.partition(b"\r\n")
    assert not said or first_line.split()[1][:1] in b"45"
    assert not said or b'{"error":"' in rest
    assert others.json() == 1


async def test_who_offers_more_than_http_1_1_is_answered_in_it() -> None:
    """As curl and Java do for a plain address: an offer may be declined, and is no error."""
    offer = (
        b"GET /nowhere HTTP/1.1\r\nhost: a\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n"
        b"connection: upgrade, http2-settings, close\r\n\r\n"
    )
    async with served() as server:
        said = await said_to(server.address, offer)
        other = await said_to(server.address, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

    assert said.startswith(b"HTTP/1.1 404 ")
    assert said.endswith(b"}")
    assert other.startswith(b"HTTP/1.1 505 ")


async def test_a_client_that_does_not_read_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that nobody reads is not waited for for ever."""
    monkeypatch.setattr("trioworker.server.connection.SEND_S", 0.1)
    ended = trio.Event()

    def heard(event: Event) -> None:
        if isinstance(event, RequestServed):
            ended.set()

    async with served(emit=heard) as server:
        stream = await trio.open_tcp_stream(*server.address[:2])
        async with stream:
            await stream.send_all(b"GET /endless HTTP/1.1\r\nhost: a\r\n\r\n")
            with trio.fail_after(PATIENCE_S):
                await ended.wait()


async def test_a_stop_answers_what_waits() -> None:
    """A long wait ends with the server, and its client gets an answer."""
    said: list[object] = []
    async with served() as server, trio.open_nursery() as nursery:

        async def ask() -> None:
            said.append((await server.client.get("/wait")).json())

        nursery.start_soon(ask)
        await server.waiting.wait()
        server.scope.cancel()

    assert said == [None]


async def test_a_stop_does_not_wait_for_ever() -> None:
    """Who goes on reading for ever is cut off once the grace is over."""
    async with served(grace_s=0.1) as server:
        stream = await trio.open_tcp_stream(*server.address[:2])
        await stream.send_all(b"GET /endless HTTP/1.1\r\nhost: a\r\n\r\n")
        await stream.receive_some()
        server.scope.cancel()
        await stream.aclose()
        with trio.fail_after(PATIENCE_S):
            while await is_there(server):
                pass


async def test_a_hurry_ends_the_grace() -> None:
    """Whoever asks a second time does not wait for anybody."""
    hurry = trio.Event()
    with trio.fail_after(PATIENCE_S):
        async with served(grace_s=1_000.0, hurry=hurry) as server:
            stream = await trio.open_tcp_stream(*server.address[:2])
            await stream.send_all(b"GET /endless HTTP/1.1\r\nhost: a\r\n\r\n")
            await stream.receive_some()
            server.scope.cancel()
            hurry.set()
            while await is_there(server):
                pass
        await stream.aclose()


async def is_there(server: Served) -> bool:
    """Whether somebody still answers."""
    try:
        await server.client.get("/nowhere")
    except httpx.ConnectError:
        return False
    return True


async def test_a_wait_ends_with_its_client() -> None:
    """Nothing waits for the sake of somebody who has gone."""
    ended = trio.Event()

    def heard(event: Event) -> None:
        if isinstance(event, RequestServed):
            ended.set()

    async with served(emit=heard) as server:
        stream = await trio.open_tcp_stream(*server.address[:2])
        await stream.send_all(b"GET /wait HTTP/1.1\r\nhost: a\r\n\r\n")
        await server.waiting.wait()
        await stream.aclose()
        with trio.fail_after(PATIENCE_S):
            await ended.wait()


async def test_a_crowd_is_told_that_it_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is room for so many connections: the next one is told, and the others stay."""
    monkeypatch.setattr("trioworker.server.serve.CONNECTIONS_MAX", 1)
    async with served() as server:
        await server.client.post("/echo", json=1)
        said = await said_to(server.address, b"")
        again = await server.client.post("/echo", json=1)

    assert said.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nRetry-After: 1\r\n" in said
    assert said.endswith(b'{"error":"too many connections; try again in a second"}')
    assert again.json() == 1


async def test_a_client_that_has_left_holds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many clients come and go, the next one finds room."""
    monkeypatch.setattr("trioworker.server.serve.CONNECTIONS_MAX", 10)
    async with served() as server:
        said = []
        for _ in range(50):
            async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
                said.append(await client.post(f"http://{server.address}/echo", json=1))
            await trio.testing.wait_all_tasks_blocked(0.005)

    assert [one.json() for one in said] == [1] * 50


async def test_an_address_that_is_taken_is_said_to_be() -> None:
    """Somebody else's address is an error, or another port where that will do."""
    with taken_port() as taken:
        address = Address("127.0.0.1", taken.getsockname()[1])
        with pytest.raises(UsageError, match="somebody else does; choose another port with"):
            await serve(make_app(ROUTES), address)
        async with trio.open_nursery() as nursery:

            async def run(*, task_status: trio.TaskStatus[Address]) -> None:
                await serve(make_app(ROUTES), address, or_any_port=True, task_status=task_status)

            found = await nursery.start(run)
            nursery.cancel_scope.cancel()

    assert found.host == address.host
    assert found.port != address.port


@pytest.mark.parametrize("host", ["no.such.host.invalid", "192.0.2.1"])
async def test_an_address_of_nobody_is_said_to_be(host: str) -> None:
    """What is no address of this host is one line that names the flag."""
    with pytest.raises(UsageError, match=r"^cannot listen at [^\n]* with --listen$"):
        await serve(make_app(ROUTES), ANY_PORT._replace(host=host))
