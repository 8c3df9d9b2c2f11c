"""One worker's process in the simulated world: born, killed, paused, stopped, born again."""

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from random import Random
from typing import Final, Protocol, TypeAlias
from uuid import UUID

import msgspec
import trio

from sim.bodies import SimRunner, runners
from sim.happenings import (
    StopAsked,
    WorkerBorn,
    WorkerCrashed,
    WorkerExited,
    WorkerKilled,
    WorkerPaused,
    WorkerResumed,
)
from sim.plan import Sizes
from sim.trio_patch import PROCESS, Process
from trioworker.cli.exits import ExitStatus
from trioworker.errors import StoreError
from trioworker.events import Emit, Event, WorkerStarted
from trioworker.model.batching import Mode, sizes_for
from trioworker.model.tags import Tags
from trioworker.store.postgres.database import Database
from trioworker.store.postgres.store import PostgresStore
from trioworker.store.protocol import Store
from trioworker.worker.config import Ports, WorkerConfig
from trioworker.worker.supervisor import Stop, work

REBIRTH_S: Final = (0.1, 2.0)
"""How long whoever runs the workers takes to start one again."""


class Line(Protocol):
    """What leads out of a process, and ends with it."""

    @property
    def open_connections(self) -> int:
        """How many are not closed."""
        ...

    def die(self) -> None:
        """The process is killed: nothing more is sent, and nobody says goodbye."""
        ...


class ProcessDatabase(Database, Line, Protocol):
    """The connections of one process."""


OpenDatabase: TypeAlias = Callable[[str, Emit], AbstractAsyncContextManager[ProcessDatabase]]
"""Makes the database of a process, which is called so and says this."""
OpenStore: TypeAlias = Callable[[str], AbstractAsyncContextManager[tuple[Line, Store]]]
"""Makes the store of an agent, which is called so, and what it goes by."""


class WorkerProcess:
    """The process in one slot, one incarnation after the other, each with the real supervisor."""

    def __init__(
        self,
        slot: int,
        *,
        sizes: Sizes,
        tags: Tags,
        open_database: OpenDatabase,
        new_id: Callable[[], UUID],
        rng: Random,
        executions: Counter[UUID],
        happened: Callable[[str, Event], None],
    ) -> None:
        self.name: Final = f"worker-{slot}"
        self._config = config_of(self.name, slot, sizes, tags)
        self._open_database = open_database
        self._ports = Ports(new_id, rng)
        self._rng = rng
        self._executions = executions
        self._happened = happened
        self._life: UUID | None = None
        self._closing = False
        self._buried = False
        self._scope: trio.CancelScope | None = None
        self._stop = Stop()
        self._process = Process(self.name)
        self._line: Line | None = None
        self.immortal = False
        """Whether jobs that would kill their worker do so no more."""

    @property
    def alive(self) -> bool:
        """Whether a process is there, paused or not."""
        return self._scope is not None

    @property
    def open_connections(self) -> int:
        """How many connections the process holds."""
        return 0 if self._line is None else self._line.open_connections

    async def run(self) -> None:
        """Live again and again until the world ends."""
        while True:
            await self._live_once()
            if self._closing or self._buried:
                return
            await trio.sleep(self._rng.uniform(*REBIRTH_S))

    def kill(self, *, for_good: bool = False) -> None:
        """SIGKILL: it does nothing more. What it had sent arrives."""
        if self._scope is None or self._line is None:
            return
        self._buried |= for_good
        self._happened(self.name, WorkerKilled())
        self._line.die()
        self._scope.cancel()
        self._scope = None
        self._process.resume()

    def pause(self) -> None:
        """SIGSTOP."""
        if self.alive and not self._process.paused:
            self._happened(self.name, WorkerPaused())
            self._process.pause()

    def resume(self) -> None:
        """SIGCONT."""
        if self._process.paused:
            self._happened(self.name, WorkerResumed())
            self._process.resume()

    def stop(self) -> None:
        """SIGTERM; it is born again unless the world is closing."""
        if self.alive:
            self._happened(self.name, StopAsked())
            self._stop.ask()

    def close(self) -> None:
        """SIGTERM, and nobody starts it again."""
        self._closing = True
        self.resume()
        self.stop()

    async def _live_once(self) -> None:
        self._stop = Stop()
        self._process = Process(self.name)
        self._happened(self.name, WorkerBorn())
        with trio.CancelScope() as scope:
            self._scope = scope
            token = PROCESS.set(self._process)
            try:
                await self._work()
            finally:
                PROCESS.reset(token)
        if not scope.cancelled_caught:
            self._scope = None

    async def _work(self) -> None:
        async with self._open_database(self.name, self._say) as database:
            self._line = database
            await self._work_on(PostgresStore(database, now_s=trio.current_time))

    async def _work_on(self, store: Store) -> None:
        runner = SimRunner(
            self._who, self._say, self._rng, self._executions, kill=self._killed_by_a_job
        )
        try:
            report = await work(
                store=store,
                runners=runners(runner),
                config=self._config,
                ports=self._ports,
                stop=self._stop,
                emit=self._say,
            )
        except StoreError:
            self._say(WorkerExited(status=ExitStatus.UNREACHABLE))
        except Exception as error:  # noqa: BLE001 - whatever it is, somebody has to hear of it
            self._say(WorkerCrashed(error=described(error)))
        else:
            status = ExitStatus.UNSAVED if report.unsaved else ExitStatus.OK
            self._say(WorkerExited(status=status, unsaved=report.unsaved))

    def _killed_by_a_job(self) -> None:
        if not self.immortal:
            self.kill()

    def _say(self, event: Event) -> None:
        """Pass on what the process says; the dead say nothing."""
        if isinstance(event, WorkerStarted):
            self._life = event.worker
        if self._scope is not None:
            self._happened(self.name, event)

    def _who(self) -> UUID | None:
        """The life that this process leads; the dead lead none."""
        return None if self._scope is None else self._life


class AgentProcess(WorkerProcess):
    """The same of a worker without a database."""

    def __init__(
        self,
        slot: int,
        *,
        sizes: Sizes,
        tags: Tags,
        open_store: OpenStore,
        new_id: Callable[[], UUID],
        rng: Random,
        executions: Counter[UUID],
        happened: Callable[[str, Event], None],
    ) -> None:
        super().__init__(
            slot,
            sizes=sizes,
            tags=tags,
            open_database=_no_database,
            new_id=new_id,
            rng=rng,
            executions=executions,
            happened=happened,
        )
        self._open_store = open_store
        if not sizes.mode.batches:
            self._config = msgspec.structs.replace(self._config, mode=Mode.AGENT)

    async def _work(self) -> None:
        async with self._open_store(self.name) as (self._line, store):
            await self._work_on(store)


def _no_database(name: str, _emit: Emit) -> AbstractAsyncContextManager[ProcessDatabase]:
    raise AssertionError(f"{name} has no database")


def described(error: BaseException) -> str:
    """An error in one line, without what differs between two runs."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    if isinstance(error, BaseExceptionGroup):
        return " and ".join(described(inner) for inner in error.exceptions)
    return f"{type(error).__name__}: {error}"


def config_of(name: str, slot: int, sizes: Sizes, tags: Tags) -> WorkerConfig:
    """What the process in a slot is told."""
    return WorkerConfig(
        name=name,
        host="simulated",
        pid=slot,
        mode=sizes.mode,
        tags=tags,
        sizes=sizes_for(sizes.mode, pull=sizes.pull, commit=sizes.commit),
        concurrency=sizes.concurrency,
        policy=sizes.policy,
        fallback=sizes.fallback,
        start_within_s=sizes.start_within_s,
        poll_s=sizes.poll_s,
        heartbeat_s=sizes.heartbeat_s,
        lease_s=sizes.lease_s,
        sweep_s=sizes.sweep_s,
        grace_s=sizes.grace_s,
        flush_s=sizes.flush_s,
        reaped_max=sizes.reaped_max,
        retention_s=sizes.retention_s,
        drain=sizes.drain,
        report_jobs=sizes.report_jobs,
    )
