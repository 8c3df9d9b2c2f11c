"""A server of agents in the simulated world: born, killed, paused, stopped, born again.

Rule of this file: all of it is the product's own: the app, the agents API, who may ask, the sweeps.
Only sockets are missing: a request arrives as a `Delivery`, and a task of this process handles it.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from math import inf
from random import Random
from typing import Final, TypeAlias
from uuid import UUID

import msgspec
import trio
from starlette.applications import Starlette

from sim.happenings import ApiCrashed, ApiTurned
from sim.network import Delivery
from sim.plan import Sizes
from sim.process import REBIRTH_S, ProcessDatabase, config_of, described
from sim.trio_patch import PROCESS, Process
from trioworker.errors import StoreError
from trioworker.events import Emit, Event
from trioworker.model.batching import Mode
from trioworker.model.tags import unranked
from trioworker.server.agents import Agents
from trioworker.server.app import make_app
from trioworker.server.auth import AgentAuth
from trioworker.server.serve import GRACE_S
from trioworker.server.upkeep import sweep
from trioworker.store.postgres.database import Database
from trioworker.store.postgres.store import CONTROL, PostgresStore
from trioworker.store.postgres.tokens import PostgresTokens
from trioworker.worker.config import Context, Ports
from trioworker.worker.supervisor import Stop

SECRET: Final = "a secret of the simulated servers, and of nobody else"  # noqa: S105 - of nothing
ASKER: ContextVar[str | None] = ContextVar("ASKER", default=None)
"""For which agent the task at hand works, in a server."""

OpenDatabase: TypeAlias = Callable[
    [str, Emit, Callable[[], str]], AbstractAsyncContextManager[ProcessDatabase]
]
"""Makes the database of a server, which is called so, says this, and is used for whom it says."""


class ApiProcess:
    """The process of one server, one incarnation after the other."""

    def __init__(
        self,
        slot: int,
        *,
        sizes: Sizes,
        open_database: OpenDatabase,
        new_id: Callable[[], UUID],
        rng: Random,
        happened: Callable[[str, Event], None],
    ) -> None:
        self.name: Final = f"api-{slot}"
        self.listened: Final = trio.Event()
        self.ended: Final = trio.Event()
        config = config_of(self.name, slot, sizes, unranked())
        self._config = msgspec.structs.replace(config, mode=Mode.SERVER)
        self._timeout_s = sizes.command_timeout_s
        self._open_database = open_database
        self._ports = Ports(new_id, rng)
        self._rng = rng
        self._happened = happened
        self._closing = False
        self._scope: trio.CancelScope | None = None
        self._stop = Stop()
        self._process = Process(self.name)
        self._database: ProcessDatabase | None = None
        self._inbox: trio.MemorySendChannel[Delivery] | None = None
        self._open: dict[Delivery, None] = {}

    @property
    def listens(self) -> bool:
        """Whether somebody takes connections here; a paused process does not look at them."""
        return self._inbox is not None

    @property
    def open_connections(self) -> int:
        """How many connections to the database the process holds."""
        return 0 if self._database is None else self._database.open_connections

    def take(self, delivery: Delivery) -> None:
        """See `sim.network.Server`."""
        assert self._inbox is not None
        self._open[delivery] = None
        self._inbox.send_nowait(delivery)

    async def run(self) -> None:
        """Live again and again until the world ends."""
        while not self._closing:
            await self._live_once()
            if not self._closing:
                await trio.sleep(self._rng.uniform(*REBIRTH_S))
        self.ended.set()

    def kill(self) -> None:
        """SIGKILL: nobody answers any more. What it had sent arrives."""
        if self._scope is None or self._database is None:
            return
        self._turned("killed")
        self._database.die()
        self._scope.cancel()
        self._scope = None
        self._over()
        self._process.resume()

    def pause(self) -> None:
        """SIGSTOP."""
        if self._scope is not None and not self._process.paused:
            self._turned("paused")
            self._process.pause()

    def resume(self) -> None:
        """SIGCONT."""
        if self._process.paused:
            self._turned("resumed")
            self._process.resume()

    def stop(self) -> None:
        """SIGTERM; it is born again unless the world is closing."""
        if self._scope is not None and not self._stop.asked.is_set():
            self._turned("stopping")
            self._stop.ask()

    def close(self) -> None:
        """SIGTERM, and nobody starts it again."""
        self._closing = True
        self.resume()
        self.stop()

    async def _live_once(self) -> None:
        self._stop = Stop()
        self._process = Process(self.name)
        self._turned("born")
        with trio.CancelScope() as scope:
            self._scope = scope
            token = PROCESS.set(self._process)
            try:
                await self._work()
            except StoreError:
                self._say(ApiTurned(to="exited"))
            except Exception as error:  # noqa: BLE001 - whatever it is, somebody has to hear of it
                self._say(ApiCrashed(error=described(error)))
            else:
                self._say(ApiTurned(to="exited"))
            finally:
                PROCESS.reset(token)
        if self._scope is scope:
            self._scope = None
            self._over()

    def _over(self) -> None:
        """Whoever waits for an answer sees the line break."""
        self._inbox = None
        delivered, self._open = self._open, {}
        for delivery in delivered:
            delivery.lose()

    async def _work(self) -> None:
        opened = self._open_database(self.name, self._say, lambda: ASKER.get() or self.name)
        async with opened as self._database:
            await self._serve(self._database)

    async def _serve(self, database: Database) -> None:
        store = PostgresStore(database, now_s=trio.current_time)
        await store.ping()
        auth = AgentAuth(PostgresTokens(database, CONTROL), SECRET, emit=self._say)
        agents = Agents(store, auth, self._rng)
        app = make_app(agents.routes(), emit=self._say, body_s=self._timeout_s)
        context = Context(
            worker=self._ports.new_id(),
            config=self._config,
            store=store,
            ports=self._ports,
            emit=self._say,
        )
        async with trio.open_nursery() as beside:
            beside.start_soon(agents.run)
            beside.start_soon(sweep, context)
            await self._listen(app)
            beside.cancel_scope.cancel()

    async def _listen(self, app: Starlette) -> None:
        inbox, outlet = trio.open_memory_channel[Delivery](inf)
        async with trio.open_nursery() as connections, inbox:
            connections.start_soon(self._accept, app, outlet, connections)
            self._inbox = inbox
            self.listened.set()
            await self._stop.asked.wait()
            self._inbox = None
            app.state.stopping.ask()
            connections.cancel_scope.deadline = trio.current_time() + GRACE_S

    async def _accept(
        self, app: Starlette, outlet: trio.MemoryReceiveChannel[Delivery], nursery: trio.Nursery
    ) -> None:
        async with outlet:
            async for delivery in outlet:
                nursery.start_soon(self._handle, app, delivery)

    async def _handle(self, app: Starlette, delivery: Delivery) -> None:
        ASKER.set(delivery.request.agent)
        try:
            await app(delivery.scope, delivery.receive, delivery.send)
        except Exception:  # noqa: BLE001, S110 - as in `serve`: the guard has told of it
            pass
        finally:
            self._open.pop(delivery, None)
            delivery.lose()

    def _turned(self, to: str) -> None:
        self._happened(self.name, msgspec.convert({"to": to}, ApiTurned))

    def _say(self, event: Event) -> None:
        """Pass on what the process says; the dead say nothing."""
        if self._scope is not None:
            self._happened(self.name, event)
