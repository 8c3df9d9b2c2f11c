"""The network between agents and their servers: requests that arrive or do not, once or twice.

Rules of this file:

* What was sent arrives whatever becomes of its sender: nothing of a request but the wait for its
  reply is in the agent's task. So a paused agent's commit takes effect; so does a killed one's.
* What a server does for a request is in tasks of its own process, which end when it is killed.
* What is raised is what `HttpLine` would raise; what it means is for `AgentStore` to say.
"""

import gzip
from collections import Counter
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Final, NamedTuple, Protocol

import msgspec
import trio
from starlette.types import Message, Scope

from sim.chaos import Chaos
from sim.database.post import Post
from sim.happenings import Answered, Overtaken
from sim.http_faults import STATUSES, HttpFault, HttpKind
from trioworker.errors import ConnectionLost, StatementTimeout, StoreError
from trioworker.events import Event
from trioworker.store import wire
from trioworker.store.line import Reply
from trioworker.store.reach import Headers

IN_BETWEEN: Final = b"<html>somebody in between</html>"
GOES_ON: Final = 0.5
"""How often a bad gateway has passed on what it says it could not."""


class Request(NamedTuple):
    """What an agent has sent. `number` counts its requests."""

    agent: str
    number: int
    path: str
    headers: Headers
    body: bytes


class Server(Protocol):
    """Where a request may arrive."""

    @property
    def listens(self) -> bool:
        """Whether somebody takes connections there."""
        ...

    def take(self, delivery: "Delivery") -> None:
        """It arrives. Whoever takes it ends it."""
        ...


class Network:
    """The way from the agents to the servers, which share one address."""

    def __init__(self, post: Post, chaos: Chaos, *, happened: Callable[[str, Event], None]) -> None:
        self.post = post
        self.chaos = chaos
        self.happened = happened
        self.servers: list[Server] = []
        self._arrived: dict[tuple[str, str], int] = {}

    def server_for(self, request: Request) -> Server | None:
        """Any of those that listen; None when there is none."""
        listening = [server for server in self.servers if server.listens]
        if not listening:
            return None
        luck = self.chaos.luck(request.agent, f"http {request.path}")
        return listening[int(luck * len(listening))]

    def note_arrival(self, request: Request) -> None:
        """A request arrives; whether it is late shows by those that came before it."""
        key = (request.agent, request.path)
        if self._arrived.get(key, -1) > request.number:
            self.happened(request.agent, Overtaken(path=request.path))
        self._arrived[key] = max(request.number, self._arrived.get(key, -1))


class SimLine:
    """The network as the process `agent` sees it; a `Line`."""

    server: Final = "http://api"

    def __init__(self, network: Network, agent: str) -> None:
        self._network = network
        self._agent = agent
        self._sent: Counter[str] = Counter()
        self._dead = False

    @property
    def open_connections(self) -> int:
        """None outlives its request."""
        return 0

    def die(self) -> None:
        """The process is killed: nothing more is sent, and what was sent is on its way."""
        self._dead = True

    async def ask(self, path: str, headers: Headers, body: bytes, *, timeout_s: float) -> Reply:
        """See `Line.ask`: one request, and its reply or how it was lost."""
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._dead:
            await trio.sleep_forever()
        path = path.removeprefix(wire.PREFIX)
        self._sent[path] += 1
        sent = Request(self._agent, self._sent[path], path, headers, body)
        fault = self._network.chaos.on_the_way(self._agent, path, divisible=_carries_several(sent))
        exchange = _Exchange(self._network, sent, fault)
        exchange.send()
        try:
            with trio.move_on_after(timeout_s):
                await exchange.over.wait()
        finally:
            exchange.hang_up()
        reply = exchange.answer()
        await trio.lowlevel.checkpoint()
        if fault is not None and fault.kind is HttpKind.REPLY_CUT:
            raise ConnectionLost("the reply ends in its middle", ambiguous=True)
        hint = _is_hint(path, reply)
        self._network.happened(self._agent, Answered(path=path, status=reply.status, hint=hint))
        return reply


class _Exchange:
    """One request and its reply, step by step; each step is called when its time has come."""

    def __init__(self, network: Network, request: Request, fault: HttpFault | None) -> None:
        self.over = trio.Event()
        self._network = network
        self._request = request
        self._kind = None if fault is None else fault.kind
        self._delay_s = 0.0 if fault is None else fault.delay_s
        self._reply: Reply | None = None
        self._error: StoreError | None = None
        self._deliveries: list[Delivery] = []

    def send(self) -> None:
        """The request sets out."""
        kind = self._kind
        status = None if kind is None else STATUSES.get(kind)
        if kind is HttpKind.DROPPED:
            self._travel(self._lost)
        elif status is not None:
            self._travel(lambda: self._end(Reply(status, "in between", [], IN_BETWEEN)))
            if kind is HttpKind.BAD_GATEWAY and self._luck() < GOES_ON:
                self._travel(lambda: self._arrive(heard=False))
        elif kind in (HttpKind.TWICE, HttpKind.TWICE_UNHEARD):
            unheard = kind is HttpKind.TWICE_UNHEARD
            self._travel(lambda: self._arrive(heard=not unheard))
            self._travel(lambda: self._arrive(heard=unheard), self._delay_s)
        else:
            late_s = self._delay_s if kind is HttpKind.LATE else 0.0
            self._travel(lambda: self._arrive(heard=True), late_s)

    def hang_up(self) -> None:
        """Nobody waits for the reply any more, whether it has come or not."""
        if not self.over.is_set():
            self.over.set()
            for delivery in self._deliveries:
                self._travel(delivery.hang_up)

    def answer(self) -> Reply:
        """The reply. Raises the error that stands in its place."""
        if self._error is not None:
            raise self._error
        if self._reply is None:
            raise StatementTimeout("no answer", ambiguous=True)
        return self._reply

    def _arrive(self, *, heard: bool) -> None:
        self._network.note_arrival(self._request)
        server = self._network.server_for(self._request)
        if server is None:
            if heard:
                self._travel(lambda: self._fail(ConnectionLost("nobody listens there")))
            return
        delivery = Delivery(self._request, self._pieces(), self._heard if heard else _nobody)
        if self.over.is_set():
            delivery.hang_up()
        self._deliveries.append(delivery)
        server.take(delivery)

    def _pieces(self) -> Sequence[tuple[float, bytes | None]]:
        """What comes after how many seconds; None is the end of the line."""
        body, half = self._request.body, len(self._request.body) // 2
        if self._kind is HttpKind.CUT:
            return [(0.0, body[:half]), (0.0, None)]
        if self._kind is HttpKind.SLOW_BODY:
            return [(0.0, body[:half]), (self._delay_s, body[half:])]
        return [(0.0, body)]

    def _heard(self, reply: Reply | None) -> None:
        """The server has done it, or has gone."""
        if self._kind in (HttpKind.REPLY_DROPPED, HttpKind.CUT) or reply is None:
            self._travel(self._lost)
        else:
            late_s = self._delay_s if self._kind is HttpKind.REPLY_LATE else 0.0
            self._travel(lambda: self._end(reply), late_s)

    def _lost(self) -> None:
        self._fail(ConnectionLost("the line was lost", ambiguous=True))

    def _fail(self, error: StoreError) -> None:
        if not self.over.is_set():
            self._error = error
            self.over.set()

    def _end(self, reply: Reply) -> None:
        if not self.over.is_set():
            self._reply = reply
            self.over.set()

    def _travel(self, step: Callable[[], None], more_s: float = 0.0) -> None:
        network = self._network
        network.post.send(step, network.chaos.latency_s(self._request.agent) + more_s)

    def _luck(self) -> float:
        return self._network.chaos.luck(self._request.agent, f"gateway {self._request.path}")


class Delivery:
    """A request at a server, as ASGI has it. `heard` is told the reply, or None for none at all."""

    def __init__(
        self,
        request: Request,
        pieces: Sequence[tuple[float, bytes | None]],
        heard: Callable[[Reply | None], None],
    ) -> None:
        self.request: Final = request
        self._pieces = list(pieces)
        self._heard = heard
        self._gone = trio.Event()
        self._status = 0
        self._headers: Headers = ()
        self._body: list[bytes] = []
        self._ended = False

    @property
    def scope(self) -> Scope:
        """The scope of the request."""
        path = wire.PREFIX + self.request.path
        return {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST",
            "scheme": "http", "path": path, "raw_path": path.encode(), "query_string": b"",
            "root_path": "", "server": ("api", 80), "client": (self.request.agent, 1),
            "headers": [(name.lower(), value) for name, value in self.request.headers],
        }  # fmt: skip

    async def receive(self) -> Message:
        """The next piece of the body; after that, in the end, that the sender has gone."""
        if self._pieces:
            after_s, piece = self._pieces.pop(0)
            await trio.lowlevel.checkpoint()
            if piece is not None and not (after_s and await self._leaves_within(after_s)):
                more = bool(self._pieces)
                return {"type": "http.request", "body": piece, "more_body": more}
            self._gone.set()
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _leaves_within(self, seconds: float) -> bool:
        with trio.move_on_after(seconds):
            await self._gone.wait()
        return self._gone.is_set()

    async def send(self, message: Message) -> None:
        """The next piece of the reply."""
        await trio.lowlevel.checkpoint()
        if message["type"] == "http.response.start":
            self._status, self._headers = message["status"], message["headers"]
            return
        self._body.append(message.get("body", b""))
        if not message.get("more_body", False):
            self._end(Reply(self._status, "", self._headers, b"".join(self._body)))

    def hang_up(self) -> None:
        """The sender has gone."""
        self._gone.set()

    def lose(self) -> None:
        """Whoever had it has ended; unless it was answered, nobody will answer it."""
        self._end(None)

    def _end(self, reply: Reply | None) -> None:
        if not self._ended:
            self._ended = True
            self._heard(reply)


def _carries_several(request: Request) -> bool:
    """Whether it has more than one outcome."""
    if "commit" not in request.path:
        return False
    packed = (b"content-encoding", b"gzip") in [(k.lower(), v) for k, v in request.headers]
    plain = gzip.decompress(request.body) if packed else request.body
    return len(msgspec.json.decode(plain, type=wire.Commit).outcomes) > 1


def _is_hint(path: str, reply: Reply) -> bool:
    if path != "listen" or reply.status != HTTPStatus.OK:
        return False
    return bool(msgspec.json.decode(reply.body, type=wire.Hints).tags)


def _nobody(_reply: Reply | None) -> None:
    """Nobody waits for this one."""
