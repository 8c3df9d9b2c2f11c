"""The world of a plan on a real server: real time and statements, the people of the simulated one.

Rule of this file: it does what `sim.world` does, as far as a real server can suffer it
(`sim.real.limits`). What happened is known in the end only: what the workers said, and what the
server's own record says was committed, are put in one order by the clock.
"""

from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Final
from uuid import UUID

import psycopg
import trio

from sim.chaos import SERVER, Chaos
from sim.clients import NAME, Clients
from sim.database.server import Health
from sim.happenings import (
    CommitLost,
    Committed,
    Drained,
    FaultFired,
    Happening,
    Healed,
    ServerDown,
    ServerUp,
)
from sim.onlooker import Onlooker
from sim.plan import CRASH, KILL, OUTAGE, RESTART, STANDBY, STOP, Plan, tags_of
from sim.process import WorkerProcess
from sim.real import audit
from sim.real.database import FaultyDatabase, open_faulty
from sim.real.server import RealServer
from sim.streams import Streams
from sim.world import CLOSE_S
from trioworker.events import Emit, Event
from trioworker.ids import new_id
from trioworker.store.postgres.database import Lane
from trioworker.store.postgres.jobs import CLIENT
from trioworker.store.postgres.store import WORKER_LANES

CHAOS: Final = "chaos"
PATIENCE_S: Final = 60.0
LOOK_EVERY_S: Final = 0.02
DOWN_S: Final = (0.1, 0.5)
"""How long the server is down, and then a standby, where the script does not say."""
COMPLETED: Final = (
    "select count(*) from unnest(%s::uuid[]) as promised (id)"
    " where exists (select from trioworker.job_completed as done where done.id = promised.id)"
    " or not exists (select from trioworker.job where job.id = promised.id)"
)
"""Those that were deleted have ended before."""


class RealWorld:
    """One world on the database at `url`, which has been prepared by `server`."""

    def __init__(self, plan: Plan, url: str, server: RealServer) -> None:
        self._plan = plan
        self._url = url
        self._server = server
        self._streams = Streams(plan.seed)
        self._chaos = Chaos(plan, self._streams, self._fired)
        self._to_come = {*plan.exactly, *(scripted.fault for scripted in plan.script)}
        self._all_named = trio.Event()
        self._said: list[Happening] = []
        self._undone: list[audit.Audited] = []
        self._executions: Counter[UUID] = Counter()
        self._workers: list[WorkerProcess] = []
        self._onlooker = Onlooker()
        self._clock: audit.Clock

    async def run(self) -> None:
        """From the first enqueue to the last worker's goodbye."""
        self._clock = audit.Clock.look()
        self._chaos.began_s = trio.current_time()
        self._workers += (self._worker(slot) for slot in range(self._plan.sizes.workers))
        lanes = (Lane(CLIENT, 2),)
        async with self._open(lanes, NAME, partial(self._happened, NAME)) as database:
            clients = self._clients(database)
            async with trio.open_nursery() as people:
                await self._live(clients, people)
                for worker in self._workers:
                    worker.close()
                people.cancel_scope.deadline = trio.current_time() + CLOSE_S

    def history(self) -> Sequence[Happening]:
        """What happened to everybody, in order. The server must be up."""
        commits = [*self._undone, *audit.read(self._url)]
        told = [
            Happening(
                self._clock.in_trio_s(commit.at) - self._chaos.began_s,
                commit.actor,
                Committed(number=commit.number, changes=commit.changes),
            )
            for commit in commits
        ]
        return sorted(told + self._said, key=lambda happening: happening.at_s)

    async def _live(self, clients: Clients, people: trio.Nursery) -> None:
        async with trio.open_nursery() as first_phase:
            first_phase.start_soon(clients.run)
            await clients.began.wait()  # so that the first pull finds what there is at the start
            for worker in self._workers:
                people.start_soon(worker.run)
            self._unleash(first_phase)
            await self._nothing_to_come(clients)
            self._chaos.heal()
            for worker in self._workers:
                worker.immortal = True
        self._happened(CHAOS, Healed())
        with trio.move_on_after(self._plan.drain_s):
            await self._all_completed(clients)
            self._happened(CHAOS, Drained())

    async def _nothing_to_come(self, clients: Clients) -> None:
        """Return when the first phase has nothing more to tell; it need not be waited out.

        A fault that is named may come as late as a busy machine makes it.
        """
        if self._plan.faults:
            await trio.sleep(self._plan.chaos_s)
        elif self._to_come:
            with trio.move_on_after(PATIENCE_S):
                await self._all_named.wait()
        else:
            with trio.move_on_after(self._plan.chaos_s):
                await self._all_completed(clients)

    async def _all_completed(self, clients: Clients) -> None:
        with psycopg.connect(self._url, autocommit=True) as looking:
            while True:
                promised = list(clients.promised)
                if looking.execute(COMPLETED, [promised]).fetchone() == (len(promised),):
                    return
                await trio.sleep(LOOK_EVERY_S)

    def _fired(self, fault: str) -> None:
        self._happened(CHAOS, FaultFired(fault=fault))
        self._to_come.discard(fault)
        if not self._to_come:
            self._all_named.set()

    def _happened(self, actor: str, event: Event) -> None:
        happening = Happening(trio.current_time() - self._chaos.began_s, actor, event)
        self._said.append(happening)
        self._onlooker.see(happening)

    # ---- people ---------------------------------------------------------------------------------

    def _worker(self, slot: int) -> WorkerProcess:
        return WorkerProcess(
            slot,
            sizes=self._plan.sizes,
            tags=tags_of(self._plan, slot),
            open_database=partial(self._open, WORKER_LANES),
            new_id=new_id,
            rng=self._streams.stream(f"worker-{slot}"),
            executions=self._executions,
            happened=self._happened,
        )

    def _clients(self, database: FaultyDatabase) -> Clients:
        return Clients(
            self._plan,
            database,
            tags=tags_of(self._plan, 0).names,
            new_id=new_id,
            rng=self._streams.stream("clients"),
            onlooker=self._onlooker,
            happened=self._happened,
        )

    def _open(
        self, lanes: Sequence[Lane], actor: str, emit: Emit
    ) -> AbstractAsyncContextManager[FaultyDatabase]:
        return open_faulty(
            self._url,
            lanes,
            actor=actor,
            faults=self._chaos,
            command_timeout_s=self._plan.sizes.command_timeout_s,
            emit=emit,
        )

    # ---- faults of the world --------------------------------------------------------------------

    def _unleash(self, nursery: trio.Nursery) -> None:
        for worker in self._workers:
            nursery.start_soon(self._kill, worker)
            nursery.start_soon(self._stop, worker)
        for fault in (RESTART, CRASH, OUTAGE, STANDBY):
            nursery.start_soon(self._take_down, fault)

    async def _kill(self, worker: WorkerProcess) -> None:
        for strike in self._chaos.strikes(KILL, worker.name):
            if await self._chaos.comes(strike):
                self._chaos.strike(strike)
                others = len(self._workers) > 1
                first = self._plan.one_stays_dead and others and worker is self._workers[0]
                worker.kill(for_good=first)

    async def _stop(self, worker: WorkerProcess) -> None:
        for strike in self._chaos.strikes(STOP, worker.name):
            if await self._chaos.comes(strike):
                self._chaos.strike(strike)
                worker.stop()

    async def _take_down(self, fault: str) -> None:
        for strike in self._chaos.strikes(fault, SERVER):
            if await self._chaos.comes(strike):
                self._chaos.strike(strike)
                down_s = strike.lasts(strike.rng.uniform(*DOWN_S))
                await self._down(down_s, crash=fault in (CRASH, STANDBY), standby=fault == STANDBY)

    async def _down(self, down_s: float, *, crash: bool, standby: bool) -> None:
        before = audit.read(self._url) if crash else []
        await self._server.stop(crash=crash)
        at_s = trio.current_time() - self._chaos.began_s
        await trio.sleep(down_s)
        if standby:
            await self._server.start_as_standby()
            self._note_start()
            self._up(Health.STANDBY)
            await trio.sleep(DOWN_S[1])
            self._server.promote()
        else:
            await self._server.start()
            self._note_start()
        self._up(Health.UP)
        self._note_undone(before, at_s)

    def _note_start(self) -> None:
        """From this moment on the server gives leases time, although it took no connections yet."""
        at_s = self._clock.in_trio_s(audit.started(self._url)) - self._chaos.began_s
        event = ServerUp(health=Health.STARTING.value)
        self._said.append(Happening(at_s, SERVER, event))

    def _up(self, health: Health) -> None:
        self._happened(SERVER, ServerUp(health=health.value))

    def _note_undone(self, before: Sequence[audit.Audited], at_s: float) -> None:
        """What was committed before a crash and is not there any more."""
        there = {commit.key for commit in audit.read(self._url)}
        undone = [commit for commit in before if commit.key not in there]
        self._undone += undone
        for commit in reversed(undone):
            event = CommitLost(number=commit.number, changes=commit.changes)
            self._said.append(Happening(at_s, commit.actor, event))
        self._said.append(Happening(at_s, SERVER, ServerDown(lost=len(undone))))
