"""A connection: the client's end, the way, and what the server does meanwhile.

Rules of this file:

* What was sent is carried out by the server whatever becomes of the client: each exchange is a task
  of the server's, not of the worker that waits for it. A paused worker's COMMIT takes effect; so
  does a killed one's.
* A fault strikes at one of two moments: before the effect or after it. The client sees the same.
* Errors are those that `store.postgres.database.translate` makes of the driver's, `ambiguous`
  included.
"""

from collections.abc import Awaitable, Callable
from contextvars import Context, copy_context
from typing import Any, Final, Generic, TypeVar

import trio

from sim.database.faults import SQLSTATES, Fault, Faults, Kind
from sim.database.parameters import encode
from sim.database.server import Health, SimServer
from sim.database.session import Session
from sim.database.values import refusal
from trioworker.errors import ConnectionLost, StatementTimeout, StoreError

T = TypeVar("T")

BEGIN: Final = "begin"
COMMIT: Final = "commit of transaction"
ROLLBACK: Final = "rollback"
BOUNDARIES: Final = frozenset({BEGIN, COMMIT, ROLLBACK})
CARRIED_OUT_ALL_THE_SAME: Final = 0.5
"""How often what was sent is carried out although its sender has hung up before it arrived."""


class Wire:
    """The network between clients and one server, and the tasks in which the server works."""

    def __init__(self, server: SimServer, nursery: trio.Nursery, faults: Faults) -> None:
        self.server = server
        self.faults = faults
        self._nursery = nursery
        self._context: Context = copy_context()

    def start(self, task: Callable[..., Awaitable[None]], *arguments: Any) -> None:  # noqa: ANN401 - the task's
        """Run a task of the server's, which belongs to no worker whoever started it."""
        self._context.copy().run(self._nursery.start_soon, task, *arguments)

    def later(self, actor: str, action: Callable[[], object]) -> None:
        """Do it at the client's end when a message of now has arrived there."""

        async def travel() -> None:
            await trio.sleep(self.faults.latency_s(actor))
            action()

        self.start(travel)

    async def connect(self, actor: str, *, durable: bool) -> "Connection":
        """A new connection. Raises `ConnectionLost` or `ServerUnavailable`, never ambiguous."""
        fault = self.faults.at(actor, "connect")
        await trio.sleep(self.faults.latency_s(actor))
        if fault is not None and fault.kind in SQLSTATES:
            raise refusal(SQLSTATES[fault.kind], fault.kind.value)
        if self.server.health is Health.DOWN or fault is not None:
            raise ConnectionLost("could not connect to the server")
        if self.server.health is Health.STARTING:
            raise refusal("57P03", "the database system is starting up")
        return Connection(self, Session(self.server, actor=actor, durable=durable), actor)


class Connection:
    """The client's end. `closed` is what the client knows, which may be late."""

    def __init__(self, wire: Wire, session: Session, actor: str) -> None:
        self.session = session
        self.closed = False
        self._wire = wire
        self._actor = actor
        self._exchange: _Exchange[Any] | None = None

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

    def terminate(self) -> None:
        """Hang up. What is under way may be carried out all the same."""
        self.closed = True
        exchange = self._under_way
        if exchange is None or exchange.arrived or exchange.luck >= CARRIED_OUT_ALL_THE_SAME:
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
        return None if exchange is None or exchange.answered.is_set() else exchange

    async def _ask(self, place: str, work: Callable[[], Awaitable[T]]) -> T:
        """One exchange with the server. Raises `StoreError`."""
        if self.closed:
            raise lost()
        faults = self._wire.faults
        give_up = self.session.fail if place not in BOUNDARIES else self.session.rollback
        self._exchange = exchange = _Exchange(
            self.session,
            work,
            give_up,
            faults.at(self._actor, place),
            faults.luck(self._actor, place),
        )
        self._wire.start(
            exchange.take_place, faults.latency_s(self._actor), faults.latency_s(self._actor)
        )
        await exchange.answered.wait()
        self._exchange = None
        if not self.session.alive:
            self.closed = True
        return exchange.answer()


class _Exchange(Generic[T]):
    """One request and its reply, as a task of the server's."""

    def __init__(
        self,
        session: Session,
        work: Callable[[], Awaitable[T]],
        give_up: Callable[[], None],
        fault: Fault | None,
        luck: float,
    ) -> None:
        self.answered = trio.Event()
        self.arrived = False
        self.orphaned = False
        self.luck = luck
        self._session = session
        self._work = work
        self._give_up = give_up
        self._fault = fault
        self._result: T | None = None
        self._error: StoreError | None = None

    def answer(self) -> T:
        """The result. Raises what the server answered, or `ConnectionLost`."""
        if self._error is not None:
            raise self._error
        return self._result  # type: ignore[return-value]  # None is a result of some

    async def take_place(self, there_s: float, back_s: float) -> None:
        """The request travels, is carried out, and the reply travels back."""
        fault = self._fault
        await trio.sleep(there_s + self._delay(Kind.SLOW) + self._delay(Kind.STALLED_BEFORE))
        self.arrived = True
        if fault is not None and fault.kind in (Kind.LOST_BEFORE, Kind.TERMINATED):
            self._session.end()
        elif fault is not None and fault.kind in SQLSTATES and self._session.alive:
            self._give_up()
            self._error = refusal(SQLSTATES[fault.kind], fault.kind.value)
        elif self._session.alive:
            await self._carry_out()
        if fault is not None and fault.kind is Kind.LOST_AFTER:
            self._session.end()
        if not self.orphaned and (back_s := back_s + self._delay(Kind.STALLED_AFTER)):
            await trio.sleep(back_s)
        if self.orphaned:
            self._session.end()
        if not self._session.alive:
            self._error = lost()
        self.answered.set()

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


def _at_once(action: Callable[[], object]) -> Callable[[], Awaitable[None]]:
    async def work() -> None:
        action()

    return work
