"""`sql`: what a batch saves at the level of statements, with no jobs run in between.

Rule of this file: the statements go the way that a worker's do, one crossing and one round trip
each; a single one is a batch of one.
"""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import trio

from trioworker.bench.figures import Measured, Samples, ratio, shown
from trioworker.bench.rig import TAG, Rig, Server
from trioworker.bench.turns import in_turns
from trioworker.ids import new_id
from trioworker.model.job import Job
from trioworker.model.outcome import Executed, Succeeded
from trioworker.model.planner import NO_FLOORS
from trioworker.store.protocol import WorkerInfo

ROUNDS: Final = 20
PULLED: Final = 100
WRITTEN: Final = 50
BACKLOG: Final = 10_000
"""Jobs that stay behind, so that no pull sees the end of the queue."""
RESULT: Final = Succeeded(b'{"value": 1}')


async def measure(server: Server, *, rounds: int = ROUNDS) -> Measured:
    """Pull 100 jobs and write 50 results, one by one and in one statement, `rounds` times."""
    async with server.rig() as rig:
        desk = _Desk(rig, await _registered(rig))
        warm_up = 2
        await rig.refill((rounds + warm_up) * 2 * PULLED + BACKLOG)
        sides = {"single": lambda: desk.turn(1), "batch": lambda: desk.turn(PULLED)}
        await in_turns(warm_up, sides)
        turns = await in_turns(rounds, sides)
    return _measured(turns["single"], turns["batch"])


Turn = tuple[float, float]
"""Milliseconds to pull `PULLED` jobs, and to write `WRITTEN` results."""


class _Desk:
    """One worker id whose pulls and commits are made by hand."""

    def __init__(self, rig: Rig, worker: UUID) -> None:
        self._store = rig.store
        self._worker = worker

    async def turn(self, size: int) -> Turn:
        """Pull and write with statements of `size` jobs at the most."""
        started_s = trio.current_time()
        jobs = [job for _ in range(0, PULLED, size) for job in await self._pull(size)]
        pulled_s = trio.current_time()
        executed = [Executed(job, RESULT, pulled_s, 0.0) for job in jobs]
        written, rest = executed[:WRITTEN], executed[WRITTEN:]
        for at in range(0, WRITTEN, size):
            await self._commit(written[at : at + size])
        written_s = trio.current_time()
        await self._commit(rest)
        return (pulled_s - started_s) * 1000, (written_s - pulled_s) * 1000

    async def _pull(self, size: int) -> Sequence[Job]:
        jobs = await self._store.pull(self._worker, new_id(), size, [TAG], NO_FLOORS)
        assert len(jobs) == size
        return jobs

    async def _commit(self, batch: Sequence[Executed]) -> None:
        assert not await self._store.commit(self._worker, batch, again=False)


async def _registered(rig: Rig) -> UUID:
    worker = new_id()
    await rig.store.register(
        WorkerInfo(id=worker, name="sql", host="", pid=0, mode="", tags=[TAG], lease_s=3600)
    )
    return worker
