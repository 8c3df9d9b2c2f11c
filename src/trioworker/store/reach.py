"""How a server is reached: its address, TLS with the system's trust, a proxy of the environment's.

Rule of this file: it opens connections and says nothing on them but what opens them.
"""

import ssl
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import h11
import trio

from trioworker.errors import UsageError

PORTS: Final = {"http": 80, "https": 443}
LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_LETS_THROUGH: Final = range(200, 300)

Headers = Sequence[tuple[bytes, bytes]]


class ProxyRefused(Exception):
    """A proxy does not let us through; the message is what it says."""


class Reached(NamedTuple):
    """A connection, and the socket that is under it."""

    stream: trio.abc.Stream
    socket: trio.socket.SocketType


@dataclass(frozen=True)
class Place:
    """Where somebody takes connections."""

    host: str
    port: int

    @classmethod
    def of(cls, url: SplitResult) -> "Place":
        """The place that an address names. Raises `ValueError` when it is none."""
        if url.scheme not in PORTS or not url.hostname:
            raise ValueError("it is not http://HOST or https://HOST")
        host = url.hostname.encode("idna").decode()
        if not all(c.isalnum() or c in "-._:%" for c in host):
            raise ValueError(f"there is no host {url.hostname!r}")
        return cls(host, url.port or PORTS[url.scheme])

    @property
    def authority(self) -> str:
        """The place as HTTP names it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


class Way:
    """The way to a server, each time it is gone. Raises `UsageError` for an address that is none.

    `target` is what a request on it asks for, in front of a path, and `headers` are what each of
    them has.
    """

    def __init__(self, base_url: str) -> None:
        try:
            url = urlsplit(base_url)
            self._server = Place.of(url)
            proxy = _proxy_for(url)
            self._proxy = None if proxy is None else Place.of(proxy)
        except (ValueError, UnicodeError) as error:
            raise UsageError(f"the address {base_url} will not do: {error}") from None
        self._tls = _trust() if url.scheme == "https" else None
        self._introduction = () if proxy is None else _introduction(proxy)
        self.is_local = self._server.host in LOCAL
        self.target = url.path.rstrip("/").encode()
        standing = url.netloc.encode("idna")
        self.headers: Headers = ((b"host", standing),)
        if self._proxy is not None and self._tls is None:
            self.target = b"http://" + standing + self.target
            self.headers = (*self.headers, *self._introduction)

    async def go(self) -> Reached:
        """A new connection. Raises `OSError`, `trio.BrokenResourceError` or `ProxyRefused`."""
        first = self._proxy or self._server
        stream = await trio.open_tcp_stream(first.host, first.port)
        if self._tls is None:
            return Reached(stream, stream.socket)
        try:
            if self._proxy is not None:
                await self._tunnel(stream)
            secured = trio.SSLStream(
                stream, self._tls, server_hostname=self._server.host, https_compatible=True
            )
            await secured.do_handshake()
        except BaseException:
            stream.socket.close()
            raise
        return Reached(secured, stream.socket)

    async def _tunnel(self, stream: trio.abc.Stream) -> None:
        """Ask the proxy to pass on what it cannot read."""
        http = h11.Connection(h11.CLIENT)
        authority = self._server.authority.encode()
        headers = [(b"host", authority), *self._introduction]
        asked = http.send(h11.Request(method=b"CONNECT", target=authority, headers=headers))
        assert asked is not None
        await stream.send_all(asked)
        http.send(h11.EndOfMessage())
        try:
            while not isinstance(said := http.next_event(), h11.Response):
                if said is h11.NEED_DATA:
                    take(http, await stream.receive_some())
        except h11.RemoteProtocolError as error:
            raise ProxyRefused(f"the proxy gives no answer: {error}") from error
        if said.status_code not in _LETS_THROUGH:
            raise ProxyRefused(f"the proxy says {said.status_code} {said.reason.decode()}")


def take(http: h11.Connection, came: bytes | bytearray) -> None:
    """Hand on what the other side says. Raises `h11.RemoteProtocolError` if that is goodbye."""
    if not came and http.their_state is h11.SEND_RESPONSE:
        raise h11.RemoteProtocolError("it has hung up")
    http.receive_data(bytes(came))


def _trust() -> ssl.SSLContext:
    """Those whom the system trusts, or whom `SSL_CERT_FILE` names."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def _proxy_for(url: SplitResult) -> SplitResult | None:
    """The proxy that the environment names for an address. Raises `ValueError` for an odd one."""
    proxies = getproxies()
    named = proxies.get(url.scheme) or proxies.get("all")
    if not named or proxy_bypass(url.netloc.rpartition("@")[2]):
        return None
    proxy = urlsplit(named if "://" in named else f"http://{named}")
    if proxy.scheme != "http":
        raise ValueError(f"there is a proxy for it by {proxy.scheme}, and not by http")
    return proxy


def _introduction(proxy: SplitResult) -> Headers:
    """Who asks, for a proxy that wants to know."""
    if proxy.username is None:
        return ()
    known = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return ((b"proxy-authorization", b"Basic " + b64encode(known.encode())),)
