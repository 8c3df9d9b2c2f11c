"""A database on which jobs of all sorts are enqueued, and a worker in some mode."""

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from uuid import UUID

import trio

from tests.worker.harness import Rig, until
from tests.worker.matrix.functions import Functions, How
from tests.worker.matrix.sorts import Sort
from trioworker import open_client
from trioworker.client import Client
from trioworker.errors import ConnectionLost
from trioworker.events import JobEnded, JobStarted
from trioworker.model.batching import BatchPolicy, Fallback, Mode
from trioworker.model.outcome import Executed
from trioworker.runners.function import FunctionRunner
from trioworker.store.postgres.store import PostgresStore
from trioworker.store.protocol import Store, Stored

BATCH: Final = 500
CONCURRENCY: Final = BATCH + 1
"""In batch modes one pull takes all jobs of a test: a whole batch, and the one before it."""

EFFECT: Final = "create table if not exists effect (job uuid not null); delete from effect"
"""A table of the user's."""


@dataclass(frozen=True)
class Way:
    """A way to run a worker: its mode, and which outcomes may share a commit if any may."""

    name: str
    mode: Mode
    policy: BatchPolicy = BatchPolicy.FULL


WAYS: Final = (
    Way("agent-batch full", Mode.AGENT_BATCH),
    Way("agent-batch simple", Mode.AGENT_BATCH, BatchPolicy.SIMPLE),
    Way("worker", Mode.WORKER),
    Way("standalone", Mode.STANDALONE),
)


class Name(NamedTuple):
    """Which job this is: of which sort, of which copy of that, and what a test calls it."""

    sort: str
    copy: int
    job: str


class Scene:
    """What a test of all sorts needs."""

    def __init__(self, rig: Rig, client: Client, functions: Functions, way: Way) -> None:
        self.rig = rig
        self.client = client
        self.functions = functions
        self.way = way
        self.names: dict[UUID, Name] = {}

    async def enqueue(
        self, sort: Sort, how: How, *, copy: int = 0, out_of_time: bool = False, priority: int = 0
    ) -> None:
        """The jobs of one copy of a sort, which end as said."""
        args: dict[str, Any] = {"copy": copy, "how": how}
        settings: Any = {**sort.settings, **(sort.out_of_time if out_of_time else {})}
        settings["priority"] = priority
        if sort.every_s is not None:
            schedule = f"{sort.name} {copy}"
            await self.client.schedules.add(
                schedule, sort.name, args, every_s=sort.every_s, **settings
            )
            tick = "select pending from trioworker.schedule where name = %s"
            self.names[self.rig.query(tick, schedule)[0][0]] = Name(sort.name, copy, "job")
            return
        first: UUID | None = None
        for name in sort.jobs:
            parent = first if sort.family else None
            id_ = await self.client.enqueue(sort.name, args, parent=parent, **settings)
            self.names.setdefault(id_, Name(sort.name, copy, name))
            first = first or id_

    def make_due(self) -> None:
        """No job waits for its time."""
        self.rig.do("update trioworker.ready set scheduled_for = least(scheduled_for, now())")

    async def drain(
        self, store: Store | None = None, *, fallback: Fallback = Fallback.PER_JOB
    ) -> None:
        """Run a worker until nothing is left to do, and then what sweeps do."""
        if not isinstance(store, Gathering):
            self.functions.gate.set()
        await self.work(store=store, fallback=fallback)
        await self.rig.store().tidy()

    async def work(self, **settings: Any) -> None:  # noqa: ANN401 - those of Rig.work
        """Run a worker of these settings until nothing is left to do."""
        runner = FunctionRunner(self.functions.app, random.Random(1), concurrency=CONCURRENCY)
        async with runner.open():
            await self.rig.work(
                runner=runner,
                mode=self.way.mode,
                policy=self.way.policy,
                pull=CONCURRENCY,
                commit=BATCH,
                concurrency=CONCURRENCY,
                heartbeat_s=0.5,
                log_flush_s=60.0,
                sweep_s=60.0,
                **settings,
            )

    def all_are_running(self) -> bool:
        """Whether all jobs that may run do, and none is on its way to the database."""
        return self._claimed_are(len(self.rig.said(JobStarted)) - len(self.rig.said(JobEnded)))

    def all_have_ended(self) -> bool:
        """Whether all jobs that may run have, and none of these ends is stored."""
        return self._claimed_are(len(self.rig.said(JobEnded)))

    def _claimed_are(self, count: int) -> bool:
        counts = self.rig.counts()
        return (counts["ready"], counts["claimed"]) == (0, count)


class Gathering(PostgresStore):
    """Opens the gate with its first commit, which it makes when all jobs have ended.

    The second commit then has the outcomes of all those that did not end at once.
    """

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene.rig.database, now_s=trio.current_time)
        self._scene = scene

    async def commit(self, worker: UUID, batch: Sequence[Executed], *, again: bool) -> Stored:
        """Wait the first time, then do as always."""
        gate = self._scene.functions.gate
        if not gate.is_set():
            gate.set()
            await until(self._scene.all_have_ended)
        return await super().commit(worker, batch, again=again)


class Unheard(PostgresStore):
    """Loses the answer to the first try of every commit, which has taken effect."""

    async def commit(self, worker: UUID, batch: Sequence[Executed], *, again: bool) -> Stored:
        """Commit, and say so only of further tries."""
        stored = await super().commit(worker, batch, again=again)
        if not again:
            raise ConnectionLost("the line went dead", ambiguous=True)
        return stored


@asynccontextmanager
async def open_scene(rig: Rig, way: Way) -> AsyncIterator[Scene]:
    """A scene in the rig's database, which has no job."""
    rig.do(EFFECT)
    functions = Functions()
    async with open_client(rig.url, app=functions.app) as client:
        yield Scene(rig, client, functions, way)
