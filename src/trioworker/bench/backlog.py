"""`backlog`: what a pull costs must not depend on what else is in the database.

Rule of this file: every cell pulls, commits and tops up in the same way, cells take turns, and
only the pull is timed. The pulls use floors as a worker's do.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

import trio

from trioworker.bench.figures import Measured, Samples, ratio, shown
from trioworker.bench.rig import SNAPSHOT, Rig, Server, sql
from trioworker.bench.tally import TAG
from trioworker.bench.turns import in_turns
from trioworker.model.planner import Floors
from trioworker.store.postgres.database import Transaction

DEEPEST: Final = 1_000_000
DEEPEST_MIN: Final = 1_000
PULLED: Final = 100
PULLS_PER_TURN: Final = 20
ROUNDS: Final = 10
THROUGH_STEP: Final = 500
OTHER: Final = "bench-other"


@dataclass
class Cell:
    """A backlog to pull from: a queue, and one tag in it."""

    label: str
    rig: Rig
    worker: UUID
    tag: str = TAG
    floors: Floors = field(default_factory=Floors)

    async def pull(self, size: int) -> float:
        """Claim `size` jobs and store their results; the milliseconds that the claim took."""
        started_s = trio.current_time()
        floors = self.floors.at(started_s)
        jobs = await self.rig.pull(self.worker, size, tag=self.tag, floors=floors)
        pull_s = trio.current_time() - started_s
        self.floors.advance(jobs, full=True)
        await self.rig.commit(self.worker, jobs)
        return pull_s * 1000

    async def turn(self) -> list[float]:
        """Milliseconds of some pulls; the depth of the backlog stays as it is."""
        pull_ms = []
        for _ in range(PULLS_PER_TURN):
            pull_ms.append(await self.pull(PULLED))
            await self.rig.fill(PULLED, tag=self.tag)
        return pull_ms


async def measure(server: Server, *, jobs: int = DEEPEST) -> Measured:
    """Time pulls of 100 on backlogs of up to `jobs` jobs, and beside what should not matter."""
    shallow, middle, through = max(PULLED, jobs // 1000), jobs // 10, jobs // 5
    async with AsyncExitStack() as stack:
        cells = {
            "shallow_ms": await stack.enter_async_context(_cell(server, shallow)),
            "middle_ms": await stack.enter_async_context(_cell(server, middle)),
            "deep_ms": (deep := await stack.enter_async_context(_cell(server, jobs))),
            "other_ms": await _beside(deep, shallow),
            "held_ms": await stack.enter_async_context(_held(server, through, middle)),
        }
        sides = {key: cell.turn for key, cell in cells.items()}
        await in_turns(1, sides)
        turns = await in_turns(ROUNDS, sides)
    samples = {key: Samples([ms for turn in turns[key] for ms in turn]) for key in cells}
    return _measured(samples, {key: cell.label for key, cell in cells.items()}, jobs, through)


@asynccontextmanager
async def _cell(server: Server, depth: int) -> AsyncIterator[Cell]:
    async with server.rig() as rig:
        await rig.refill(depth)
        yield Cell(f"{depth:,} of its own", rig, await rig.register())


async def _beside(deep: Cell, depth: int) -> Cell:
    """A backlog of its own in the queue where another tag has the deepest one."""
    await deep.rig.fill(depth, tag=OTHER)
    await deep.rig.settle()
    label = f"{depth:,} of its own beside {deep.label.split()[0]} of another tag"
    return Cell(label, deep.rig, await deep.rig.register(), OTHER)


@asynccontextmanager
async def _held(server: Server, through: int, depth: int) -> AsyncIterator[Cell]:
    """A backlog of `depth` after `through` jobs went by under somebody's open transaction."""
    async with _cell(server, through + depth) as cell, trio.open_nursery() as nursery:
        await nursery.start(_hold_snapshot, cell.rig)
        for _ in range(through // THROUGH_STEP):
            await cell.pull(THROUGH_STEP)
        cell.label = f"{depth:,} of its own, a transaction held open for {through:,} jobs"
        yield cell
        nursery.cancel_scope.cancel()


async def _hold_snapshot(rig: Rig, task_status: trio.TaskStatus[None]) -> None:
    """A transaction as a backup or a forgotten psql keeps it: it sees the past until cancelled."""

    async def body(tx: Transaction) -> None:
        await tx.script(sql("hold_snapshot"))
        task_status.started()
        await tx.script(sql("sleep"))

    await rig.database.transact(SNAPSHOT, body)


def _measured(
    samples: Mapping[str, Samples], labels: Mapping[str, str], jobs: int, through: int
) -> Measured:
    medians = {key: pulls.median for key, pulls in samples.items()}
    worst_over_best = ratio(max(medians.values()), min(medians.values()))
    return Measured(
        about=f"A pull of {PULLED} jobs, on backlogs that should not matter to it.",
        columns=("backlog", "median, ms", "lowest … highest", "99 of 100 below"),
        rows=[
            *((labels[key], *pulls.shown(), shown(pulls.percentile(99)))
              for key, pulls in samples.items()),
            ("slowest median ÷ fastest", shown(worst_over_best), "", ""),
        ],
        figures={
            "worst_over_best": worst_over_best,
            **medians,
            "held_p99_ms": samples["held_ms"].percentile(99),
            "jobs": jobs,
            "held_jobs": through,
            "pulled": PULLED,
            "pulls": len(samples["deep_ms"].values),
        },
    )  # fmt: skip
