"""A connection: the client's end, the way, and what the server does meanwhile.

Rules of this file:

* What was sent is carried out by the server whatever becomes of the client: nothing of an exchange
  but the wait for its end is in the worker's task. A paused worker's COMMIT takes effect; so does a
  killed one's.
* Most exchanges wait for nobody. They have no task and no cancel scope of their own, because these
  are what a simulated statement costs; one that waits for a lock gets them then.
* A fault strikes at one of two moments: before the effect or after it. The client sees the same.
* Errors are those that `store.postgres.database.translate` makes of the driver's, `ambiguous`
  included.
"""

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final, Generic, TypeVar

import trio

from sim.database.faults import SQLSTATES, Fault, Faults, Kind
from sim.database.parameters import encode
from sim.database.post import Post
from sim.database.server import Health, SimServer
from sim.database.session import Session
from sim.database.stepping import Waits, begun, rest
from sim.database.values import refusal
from trioworker.errors import ConnectionLost, StatementTimeout, StoreError
from trioworker.store.postgres.database import USER_STATEMENT

T = TypeVar("T")

BEGIN: Final = "begin"
COMMIT: Final = "commit of transaction"
ROLLBACK: Final = "rollback"
BOUNDARIES: Final = frozenset({BEGIN, COMMIT, ROLLBACK})
CARRIED_OUT_ALL_THE_SAME: Final = 0.5
"""How often what was sent is carried out although its sender has hung up before it arrived."""


class Wire:
    """The network between clients and one server. `nursery` ends some time after `close`."""

    def __init__(self, server: SimServer, nursery: trio.Nursery, faults: Faults) -> None:
        self.server = server
        self.faults = faults
        self.post = Post(server.rng)
        self._nursery = nursery
        nursery.start_soon(self.post.run)

    def close(self) -> None:
        """Nobody sends any more; what is under way arrives."""
        self.post.close()

    def start(self, task: Callable[..., Awaitable[None]], *arguments: object) -> None:
        """Run a task of the server's; to be called by what arrives there."""
        self._nursery.start_soon(task, *arguments)

    def later(self, actor: str, action: Callable[[], object]) -> None:
        """Do it at the client's end when a message of now has arrived there."""
        self.post.send(action, self.faults.latency_s(actor))

    async def connect(self, actor: str, *, durable: bool, timeout_s: float) -> "Connection":
        """A new connection, which waits `timeout_s` for each answer.

        Raises `ConnectionLost` or `ServerUnavailable`, never ambiguous.
        """
        fault = self.faults.at(actor, "connect")
        await trio.sleep(self.faults.latency_s(actor))
        if fault is not None and fault.kind in SQLSTATES:
            raise refusal(SQLSTATES[fault.kind], fault.kind.value)
        if self.server.health is Health.DOWN or fault is not None:
            raise ConnectionLost("could not connect to the server")
        if self.server.health is Health.STARTING:
            raise refusal("57P03", "the database system is starting up")
        session = Session(self.server, actor=actor, durable=durable)
        return Connection(self, session, actor, timeout_s)


class Connection:
    """The client's end. `closed` is what the client knows, which may be late."""

    def __init__(self, wire: Wire, session: Session, actor: str, timeout_s: float) -> None:
        self.session = session
        self.closed = False
        self._wire = wire
        self._actor = actor
        self._timeout_s = timeout_s
        self._exchange: _Exchange[Any] | None = None

    def act_for(self, actor: str) -> None:
        """From now on it is `actor` for whom it is used."""
        self._actor = self.session.actor = actor

    async def begin(self) -> None:
        """BEGIN."""
        await self._ask(BEGIN, _at_once(self.session.begin))

    async def commit(self) -> None:
        """COMMIT."""
        await self._ask(COMMIT, _at_once(self.session.commit))

    async def rollback(self) -> None:
        """ROLLBACK."""
        await self._ask(ROLLBACK, _at_once(self.session.rollback))

    async def run(self, name: str, arguments: tuple[object, ...]) -> Any:  # noqa: ANN401 - rows
        """A named query."""
        encode(name, arguments)
        return await self._ask(name, lambda: self.session.run(name, arguments))

    async def user_statement(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        """What a job has handed over."""
        await self._ask(USER_STATEMENT, lambda: self.session.user_statement(sql, rows))

    def terminate(self) -> None:
        """Hang up. What is under way may be carried out all the same."""
        self.closed = True
        exchange = self._under_way
        if exchange is None or exchange.arrived or not self._arrives(exchange):
            self.session.end()
        else:
            exchange.orphaned = True

    def abandon(self) -> None:
        """The process was killed: what it had sent arrives, and nobody hears the answer."""
        self.closed = True
        exchange = self._under_way
        if exchange is None:
            self.session.end()
        else:
            exchange.orphaned = True

    @property
    def _under_way(self) -> "_Exchange[Any] | None":
        """The exchange whose answer has not come yet."""
        exchange = self._exchange
        return None if exchange is None or exchange.answered else exchange

    def _arrives(self, exchange: "_Exchange[Any]") -> bool:
        """Whether the server gets what its sender gave up before it arrived."""
        luck = self._wire.faults.luck(self._actor, exchange.place)
        return luck < CARRIED_OUT_ALL_THE_SAME

    async def _ask(self, place: str, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """One exchange with the server. Raises `StoreError`."""
        if self.closed:
            raise lost()
        fault = self._wire.faults.at(self._actor, place)
        self._exchange = exchange = _Exchange(self.session, place, work, fault)
        exchange.send(self._wire, self._actor, self._timeout_s)
        await exchange.over.wait()
        if not exchange.answered:
            raise timed_out()
        self._exchange = None
        if not self.session.alive:
            self.closed = True
        return exchange.answer()


class _Exchange(Generic[T]):
    """One request and its reply, step by step; each step is called when its time has come.

    `over` is set when its sender need not wait any more: it is `answered`, or it has taken too
    long. `orphaned` says that nobody waits, although it may still be on its way.
    """

    def __init__(
        self,
        session: Session,
        place: str,
        work: Callable[[], Coroutine[Any, Any, T]],
        fault: Fault | None,
    ) -> None:
        self.place = place
        self.over = trio.Event()
        self.answered = False
        self.arrived = False
        self.orphaned = False
        self._session = session
        self._work = work
        self._fault = fault
        self._result: T | None = None
        self._error: StoreError | None = None
        self._wire: Wire
        self._back_s = 0.0
        self._until_s = 0.0
        self._is_timed = False

    def answer(self) -> T:
        """The result. Raises what the server answered, or `ConnectionLost`."""
        if self._error is not None:
            raise self._error
        return self._result  # type: ignore[return-value]  # None is a result of some

    def send(self, wire: Wire, actor: str, timeout_s: float) -> None:
        """The request sets out."""
        self._wire = wire
        there_s = wire.faults.latency_s(actor)
        self._back_s = wire.faults.latency_s(actor) + self._delay(Kind.STALLED_AFTER)
        self._until_s = wire.post.now_s + timeout_s
        delay_s = self._delay(Kind.SLOW) + self._delay(Kind.STALLED_BEFORE)
        self._travel(self._arrive, there_s + delay_s)

    def _arrive(self) -> None:
        """The request is there, and is carried out unless a fault is in the way."""
        fault = self._fault
        self.arrived = True
        if fault is not None and fault.kind in (Kind.LOST_BEFORE, Kind.TERMINATED):
            self._session.end()
        elif fault is not None and fault.kind in SQLSTATES and self._session.alive:
            self._refuse(fault.kind)
        elif self._session.alive and not self._is_carried_out():
            return
        self._reply()

    def _is_carried_out(self) -> bool:
        """Carry it out; False when it waits for somebody, and a task replies in the end."""
        work = self._carry_out()
        try:
            begun(work)
        except Waits:
            self._time()
            self._wire.start(self._finish, work)
            return False
        return True

    def _refuse(self, kind: Kind) -> None:
        if self.place in BOUNDARIES:
            self._session.rollback()
        else:
            self._session.fail()
        self._error = refusal(SQLSTATES[kind], kind.value)

    async def _finish(self, work: Coroutine[Any, Any, None]) -> None:
        """What is left of a statement that waits for somebody."""
        await rest(work)
        self._reply()

    def _reply(self) -> None:
        """The reply sets out, if anybody waits for it."""
        if self._fault is not None and self._fault.kind is Kind.LOST_AFTER:
            self._session.end()
        if self.orphaned or not self._back_s:
            self._end()
        else:
            self._travel(self._end, self._back_s)

    def _end(self) -> None:
        """The reply is there."""
        if self.orphaned:
            self._session.end()
        if not self._session.alive:
            self._error = lost()
        self.answered = True
        self.over.set()

    def _travel(self, step: Callable[[], None], seconds: float) -> None:
        post = self._wire.post
        if post.now_s + seconds >= self._until_s:
            self._time()
        post.send(step, seconds)

    def _time(self) -> None:
        """From here on it may take too long; it mostly does not, and is not timed."""
        if not self._is_timed:
            self._is_timed = True
            post = self._wire.post
            post.send(self.over.set, self._until_s - post.now_s)

    async def _carry_out(self) -> None:
        try:
            self._result = await self._work()
        except StoreError as error:
            self._error = error

    def _delay(self, kind: Kind) -> float:
        return self._fault.delay_s if self._fault is not None and self._fault.kind is kind else 0.0


def lost() -> ConnectionLost:
    """What a client sees of a line that broke while it waited."""
    message = "connection was closed in the middle of operation"
    return ConnectionLost(message, sqlstate="08003", ambiguous=True)


def timed_out() -> StatementTimeout:
    """What a client sees that has waited for `command_timeout_s`."""
    return StatementTimeout("the database did not answer in time", ambiguous=True)


def _at_once(action: Callable[[], object]) -> Callable[[], Coroutine[Any, Any, None]]:
    async def work() -> None:
        action()

    return work
