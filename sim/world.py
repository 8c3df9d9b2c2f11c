"""The simulated world: a server, workers, clients, and everything that happens to them.

Two phases, after VOPR: under faults nothing wrong may ever happen; then the world heals and
everything must come to its end within a bound. What a run did is its trace; whether that was right
is for the oracles, which listen.
"""

from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final
from uuid import UUID

import trio

from sim.agency import Agency
from sim.api import ApiProcess
from sim.chaos import SERVER, Chaos
from sim.clients import NAME, Clients
from sim.database.client import SimDatabase
from sim.database.rows import CompletedRow, JobRow
from sim.database.server import Health, SimServer
from sim.database.transaction import Transaction
from sim.database.wire import Wire
from sim.happenings import (
    ClockJumped,
    CommitLost,
    Committed,
    Drained,
    FaultFired,
    Healed,
    RowChange,
    ServerDown,
    ServerUp,
)
from sim.intruder import Intruder
from sim.onlooker import Onlooker
from sim.plan import (
    API_KILL,
    API_PAUSE,
    API_STOP,
    CLOCK,
    CRASH,
    KILL,
    OUTAGE,
    PAUSE,
    RESTART,
    STANDBY,
    STOP,
    Plan,
    slots_of_agents,
    tags_of,
)
from sim.process import AgentProcess, WorkerProcess
from sim.streams import Streams
from sim.trace import Trace
from trioworker.events import Emit, Event
from trioworker.ids import IdMaker
from trioworker.store.postgres.database import Lane
from trioworker.store.postgres.jobs import CLIENT
from trioworker.store.postgres.store import WORKER_LANES
from trioworker.store.postgres.tokens import PostgresTokens
from trioworker.worker.channel import Signal

CLOSE_S: Final = 60.0


class World:
    """One world, made from a plan; `trace` receives all that happens in it."""

    def __init__(self, plan: Plan, trace: Trace) -> None:
        self.plan: Final = plan
        self.trace: Final = trace
        self._streams = streams = Streams(plan.seed)
        self.chaos = Chaos(
            plan, streams, lambda fault: self.happened("chaos", FaultFired(fault=fault))
        )
        self.server = SimServer(streams.stream("server"), plan.begins)
        self.server.watchers.append(self)
        self.executions: Counter[UUID] = Counter()
        self.workers: list[WorkerProcess] = []
        self.apis: Sequence[ApiProcess] = ()
        self._agency: Agency | None = None
        self._intruder: Intruder | None = None
        self._onlooker = Onlooker()
        trace.listeners.append(self._onlooker.see)
        self._clients_database: SimDatabase
        self._completed: dict[UUID, None] = {}
        self._completion = Signal()

    async def run(self) -> None:
        """From the first enqueue to the last worker's goodbye."""
        plan = self.plan
        async with trio.open_nursery() as tasks:
            wire = Wire(self.server, tasks, self.chaos)
            clients = self._populate(wire)
            for api in self.apis:
                tasks.start_soon(api.run)
            async with trio.open_nursery() as people:
                for worker in self.workers:
                    if not isinstance(worker, AgentProcess):
                        people.start_soon(worker.run)
                if self._agency is not None:
                    tokens = PostgresTokens(self._clients_database, CLIENT)
                    people.start_soon(self._agency.begin, people, tokens)
                async with trio.open_nursery() as first_phase:
                    first_phase.start_soon(clients.run)
                    self._unleash(first_phase)
                    await trio.sleep(plan.chaos_s)
                    self._heal()
                await self._drain(clients)
                for worker in self.workers:
                    worker.close()
                people.cancel_scope.deadline = trio.current_time() + CLOSE_S
            for api in self.apis:
                api.close()
                await api.ended.wait()
            self._clients_database.close()
            wire.close()
            tasks.cancel_scope.deadline = trio.current_time() + CLOSE_S

    def happened(self, actor: str, event: Event) -> None:
        """Note something."""
        self.trace.add(trio.current_time(), actor, event)

    def committed(self, transaction: Transaction) -> None:
        """See `Watcher.committed`."""
        if changes := list(_changes(transaction)):
            self._note_completions(changes)
            event = Committed(
                number=transaction.number,
                changes=changes,
                notified=list(transaction.notifications),
            )
            self.happened(transaction.actor, event)

    def lost(self, transaction: Transaction) -> None:
        """See `Watcher.lost`."""
        event = CommitLost(number=transaction.number, changes=list(_changes(transaction)))
        self.happened(transaction.actor, event)

    def leftovers(self) -> Iterator[str]:
        """What a world that has ended must not have: connections, sessions, transactions."""
        processes: list[WorkerProcess | ApiProcess] = [*self.workers, *self.apis]
        for process in processes:
            if process.open_connections:
                yield f"{process.open_connections} connections of {process.name}"
        for session in self.server.sessions:
            yield f"a session {'in a transaction' if session.in_transaction else 'without one'}"

    def _populate(self, wire: Wire) -> Clients:
        sizes = self.plan.sizes
        begins_ms = int(self.plan.begins.timestamp()) * 1000
        new_id = IdMaker(
            now_ms=lambda: begins_ms + int(trio.current_time() * 1000),
            random_bits=lambda: self._streams.stream("ids").getrandbits(64),
        )
        for slot in range(slots_of_agents(sizes).start):
            worker = WorkerProcess(
                slot,
                sizes=sizes,
                tags=tags_of(self.plan, slot),
                open_database=partial(self._open_database, wire),
                new_id=new_id,
                rng=self._streams.stream(f"worker-{slot}"),
                executions=self.executions,
                happened=self.happened,
            )
            self.workers.append(worker)
        if sizes.agents:
            self._populate_agency(wire, new_id)
        say = partial(self.happened, NAME)
        self._clients_database = self._database(wire, (Lane(CLIENT, 2),), NAME, say)
        clients = Clients(
            self.plan,
            self._clients_database,
            tags=tags_of(self.plan, 0).names,
            new_id=new_id,
            rng=self._streams.stream("clients"),
            onlooker=self._onlooker,
            happened=self.happened,
        )
        if self.plan.flows:
            self.trace.listeners.append(clients.flow_people.see)
        return clients

    def _populate_agency(self, wire: Wire, new_id: IdMaker) -> None:
        agency = Agency(
            self.plan,
            wire,
            self.chaos,
            self._streams,
            new_id=new_id,
            executions=self.executions,
            happened=self.happened,
        )
        self._agency = agency
        self.workers += agency.agents
        self.apis = agency.apis
        if self.plan.intruder:
            self._intruder = agency.intruder(lambda: [*self.server.tables.claim.committed()])

    @asynccontextmanager
    async def _open_database(
        self, wire: Wire, actor: str, emit: Emit
    ) -> AsyncIterator[SimDatabase]:
        database = self._database(wire, WORKER_LANES, actor, emit)
        try:
            yield database
        finally:
            database.close()

    def _database(self, wire: Wire, lanes: Sequence[Lane], actor: str, emit: Emit) -> SimDatabase:
        timeout_s = self.plan.sizes.command_timeout_s
        return SimDatabase(wire, lanes, actor=actor, emit=emit, command_timeout_s=timeout_s)

    def _heal(self) -> None:
        self.chaos.heal()
        for worker in self.workers:
            worker.immortal = True
            worker.resume()
        for api in self.apis:
            api.resume()
        self._up(Health.UP)
        self.happened("chaos", Healed())

    async def _drain(self, clients: Clients) -> None:
        """Wait until all that was promised is completed, as long as the plan allows."""
        with trio.move_on_after(self.plan.drain_s):
            while not self._completed.keys() >= clients.promised.keys():
                await self._completion.wait()
            self.happened("chaos", Drained())

    def _note_completions(self, changes: Sequence[RowChange]) -> None:
        gone = {c.old.id for c in changes if isinstance(c.old, JobRow) and c.new is None}
        for change in changes:
            match change:
                case RowChange(new=CompletedRow(id=job)):
                    self._completed[job] = None
                    self._completion.set()
                case RowChange(old=CompletedRow(id=job)) if job not in gone:
                    self._completed.pop(job, None)  # it is run once more
                case RowChange(old=None, new=JobRow(id=job)):
                    self._completed.pop(job, None)  # as is one that comes after its own deletion

    # ---- faults of the world --------------------------------------------------------------------

    def _unleash(self, nursery: trio.Nursery) -> None:
        for worker in self.workers:
            nursery.start_soon(self._kill, worker)
            nursery.start_soon(self._pause, worker, PAUSE)
            nursery.start_soon(self._stop, worker, STOP)
        for fault in (RESTART, CRASH, OUTAGE, STANDBY):
            nursery.start_soon(self._take_down, fault)
        nursery.start_soon(self._set_clock)
        for api in self.apis:
            nursery.start_soon(self._kill_api, api)
            nursery.start_soon(self._pause, api, API_PAUSE)
            nursery.start_soon(self._stop, api, API_STOP)
        if self._intruder is not None:
            nursery.start_soon(self._intruder.run)

    async def _kill_api(self, api: ApiProcess) -> None:
        for strike in self.chaos.strikes(API_KILL, api.name):
            if await self.chaos.comes(strike):
                self.chaos.strike(strike)
                api.kill()

    async def _kill(self, worker: WorkerProcess) -> None:
        for strike in self.chaos.strikes(KILL, worker.name):
            if not await self.chaos.comes(strike):
                continue
            first = self.plan.one_stays_dead and worker is self.workers[0] and len(self.workers) > 1
            self.chaos.strike(strike)
            worker.kill(for_good=first)

    async def _pause(self, worker: WorkerProcess | ApiProcess, fault: str) -> None:
        for strike in self.chaos.strikes(fault, worker.name):
            if not await self.chaos.comes(strike):
                continue
            self.chaos.strike(strike)
            worker.pause()
            leases = strike.rng.choice((0.3, 1.0, 2.0))
            await trio.sleep(strike.lasts(leases * self.plan.sizes.lease_s))
            worker.resume()

    async def _stop(self, worker: WorkerProcess | ApiProcess, fault: str) -> None:
        for strike in self.chaos.strikes(fault, worker.name):
            if not await self.chaos.comes(strike):
                continue
            self.chaos.strike(strike)
            worker.stop()

    async def _take_down(self, fault: str) -> None:
        for strike in self.chaos.strikes(fault, SERVER):
            if not await self.chaos.comes(strike) or self.server.health is not Health.UP:
                continue
            self.chaos.strike(strike)
            lost = self.server.stop(lose_unwritten=fault in (CRASH, STANDBY))
            self.happened(SERVER, ServerDown(lost=lost))
            longest_s = 2 * self.plan.sizes.lease_s if fault == OUTAGE else 1.0
            await trio.sleep(strike.lasts(strike.rng.uniform(0.1, 1.0) * longest_s))
            for health in (
                Health.STARTING,
                Health.STANDBY if fault == STANDBY else Health.STARTING,
            ):
                self._up(health)
                await trio.sleep(strike.rng.uniform(0.05, 0.5))
            self._up(Health.UP)

    async def _set_clock(self) -> None:
        for strike in self.chaos.strikes(CLOCK, SERVER):
            if not await self.chaos.comes(strike):
                continue
            leases = strike.rng.choice((-1, 1)) * strike.rng.uniform(0.1, 2.0)
            seconds = strike.lasts(leases * self.plan.sizes.lease_s)
            self.chaos.strike(strike)
            self.server.jump(seconds)
            self.happened(SERVER, ClockJumped(seconds=seconds))

    def _up(self, health: Health) -> None:
        if self.server.health is not health:
            self.server.start(health)
            self.happened(SERVER, ServerUp(health=health.value))


def _changes(transaction: Transaction) -> Iterator[RowChange]:
    for change in transaction.changes:
        yield RowChange(table=change.table.name, old=change.old, new=change.new)
