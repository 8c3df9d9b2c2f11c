"""How an agent gets to its server: straight, or by the proxy that the environment names."""

from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trio

from trioworker.errors import ConnectionLost, UsageError
from trioworker.store.line import open_line

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
Handler = Callable[[trio.SocketStream], Awaitable[None]]


@pytest.fixture(autouse=True)
def _without_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@asynccontextmanager
async def listening(handler: Handler) -> AsyncIterator[int]:
    """Somebody at a port of this host."""
    async with trio.open_nursery() as nursery:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, handler, [listener])
        yield listener.socket.getsockname()[1]
        nursery.cancel_scope.cancel()


class Noted:
    """Answers like this each time, and notes what was asked on each connection."""

    def __init__(self, answer: bytes = ANSWER) -> None:
        self.asked: list[list[bytes]] = []
        self._answer = answer

    async def __call__(self, stream: trio.SocketStream) -> None:
        """One connection."""
        on_this: list[bytes] = []
        self.asked.append(on_this)
        async with stream:
            async for piece in stream:
                on_this.append(bytes(piece))
                await stream.send_all(self._answer)


async def ask(address: str, times: int = 1) -> list[bytes]:
    """What is answered at an address."""
    async with open_line(address) as line:
        replies = [await line.ask("/x", (), b"body", timeout_s=30.0) for _ in range(times)]
    return [reply.body for reply in replies]


async def test_a_connection_is_kept() -> None:
    """Requests one after the other need no more than one."""
    server = Noted()
    async with listening(server) as port:
        assert await ask(f"http://127.0.0.1:{port}/below", times=3) == [b"ok"] * 3
    [on_one] = server.asked
    assert len(on_one) == 3
    head = f"POST /below/x HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-length: 4\r\n\r\nbody"
    assert on_one[0].lower() == head.lower().encode()


async def test_a_connection_that_was_closed_is_not_used() -> None:
    """A server that hangs up between two requests costs neither of them anything."""
    hung_up = trio.Event()

    async def once(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some()
            await stream.send_all(ANSWER)
        hung_up.set()

    async with listening(once) as port, open_line(f"http://127.0.0.1:{port}") as line:
        await line.ask("/x", (), b"", timeout_s=30.0)
        await hung_up.wait()
        reply = await line.ask("/x", (), b"", timeout_s=30.0)
    assert reply.body == b"ok"


async def test_a_connection_is_not_kept_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody on the way may have forgotten it by then, and would not say so."""
    monkeypatch.setattr("trioworker.store.line.KEPT_S", 0.0)
    server = Noted()
    async with listening(server) as port:
        await ask(f"http://127.0.0.1:{port}", times=2)
    assert [len(asked) for asked in server.asked] == [1, 1]


async def test_by_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which is told where to go, and who asks."""
    proxy = Noted()
    async with listening(proxy) as port:
        monkeypatch.setenv("http_proxy", f"http://me:pass%20word@127.0.0.1:{port}")
        assert await ask("http://jobs.example/below") == [b"ok"]
    [[asked]] = proxy.asked
    known = b64encode(b"me:pass word")
    assert asked.startswith(b"POST http://jobs.example/below/x HTTP/1.1\r\nhost: jobs.example\r\n")
    assert b"\r\nproxy-authorization: Basic " + known + b"\r\n" in asked


async def test_a_tunnel(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is secret is secret to the proxy, too: after CONNECT comes TLS."""
    said: list[bytes] = []

    async def proxy(stream: trio.SocketStream) -> None:
        async with stream:
            said.append(bytes(await stream.receive_some()))
            await stream.send_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
            said.append(bytes(await stream.receive_some()))

    async with listening(proxy) as port:
        monkeypatch.setenv("https_proxy", f"127.0.0.1:{port}")
        with pytest.raises(ConnectionLost, match="cannot be reached") as caught:
            await ask("https://jobs.example:8443")
    assert not caught.value.ambiguous
    connect, hello = said
    assert connect.startswith(b"CONNECT jobs.example:8443 HTTP/1.1\r\nhost: jobs.example:8443\r\n")
    assert hello.startswith(b"\x16\x03\x01")
    assert b"jobs.example" in hello


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"HTTP/1.1 407 Who are you\r\n\r\n", "the proxy says 407 Who are you"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "the proxy gives no answer: illegal"),
        (b"", "the proxy gives no answer: it has hung up"),
    ],
)
async def test_a_proxy_that_does_not_let_us_through(
    answer: bytes, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Is what the user reads of; the server has not heard anything."""

    async def proxy(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some()
            await stream.send_all(answer)

    async with listening(proxy) as port:
        monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{port}")
        with pytest.raises(ConnectionLost, match=told) as caught:
            await ask("https://jobs.example")
    assert not caught.value.ambiguous


async def test_round_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whom NO_PROXY names is reached without."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "localhost,127.0.0.1")
    async with listening(Noted()) as port:
        assert await ask(f"http://127.0.0.1:{port}") == [b"ok"]


@pytest.mark.parametrize(
    ("variable", "value"),
    [("http_proxy", "socks5://127.0.0.1:1"), ("http_proxy", "http://127.0.0.1:many")],
)
async def test_a_proxy_of_another_sort(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Is said to be one, and not passed by."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(UsageError, match="will not do"):
        await ask("http://jobs.example")


@pytest.mark.parametrize("address", ["http://", "ftp://host", "http://a b", "http://a:b", "host"])
async def test_an_address_of_nobody(address: str) -> None:
    """It is the user's to mend."""
    with pytest.raises(UsageError, match="will not do"):
        await ask(address)
