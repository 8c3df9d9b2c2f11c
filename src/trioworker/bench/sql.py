"""`sql`: what a batch saves at the level of statements, with no jobs run in between.

Rule of this file: the statements go the way that a worker's do, one crossing and one round trip
each; a single one is a batch of one.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple
from uuid import UUID

import trio

from trioworker.bench.figures import Measured, Samples, ratio, shown
from trioworker.bench.rig import Rig, Server
from trioworker.bench.turns import in_turns
from trioworker.model.job import Job

JOBS: Final = 4_000
"""How many are pulled in all on either side, `PULLED` a round."""
WARM_UP_ROUNDS: Final = 3
PULLED: Final = 100
WRITTEN: Final = 50
BACKLOG: Final = 10_000
"""Jobs that stay behind, so that no pull sees the end of the queue."""


class Turn(NamedTuple):
    """Milliseconds to pull `PULLED` jobs, and to write `WRITTEN` results."""

    pull_ms: float
    write_ms: float


async def measure(server: Server, *, jobs: int = JOBS) -> Measured:
    """Pull 100 jobs and write 50 results, one by one and in one statement, over `jobs` jobs."""
    rounds = max(1, jobs // PULLED)
    async with server.rig() as rig:
        worker = await rig.register()
        await rig.refill((rounds + WARM_UP_ROUNDS) * 2 * (PULLED + WRITTEN) + BACKLOG)
        sides = {
            "single": lambda: _turn(rig, worker, single=True),
            "batch": lambda: _turn(rig, worker, single=False),
        }
        await in_turns(WARM_UP_ROUNDS, sides)
        turns = await in_turns(rounds, sides)
    return _measured(turns["single"], turns["batch"])


async def _turn(rig: Rig, worker: UUID, *, single: bool) -> Turn:
    """Jobs to write are pulled apart from those that are timed: a claim each, and no more."""
    started_s = trio.current_time()
    pulled = await _pull(rig, worker, PULLED, 1 if single else PULLED)
    pull_s = trio.current_time() - started_s
    await rig.commit(worker, pulled)
    written = await _pull(rig, worker, WRITTEN, 1 if single else WRITTEN)
    started_s = trio.current_time()
    await _write(rig, worker, written, 1 if single else WRITTEN)
    return Turn(pull_s * 1000, (trio.current_time() - started_s) * 1000)


async def _pull(rig: Rig, worker: UUID, count: int, size: int) -> Sequence[Job]:
    """`count` jobs by statements that claim `size` each."""
    jobs: list[Job] = []
    for _ in range(count // size):
        jobs += await rig.pull(worker, size)
    return jobs


async def _write(rig: Rig, worker: UUID, jobs: Sequence[Job], size: int) -> None:
    """A result for each of `jobs`, by transactions that store `size` each."""
    for at in range(0, len(jobs), size):
        await rig.commit(worker, jobs[at : at + size])


def _measured(single: Sequence[Turn], batch: Sequence[Turn]) -> Measured:
    pull_single, pull_batch = (Samples([t.pull_ms for t in turns]) for turns in (single, batch))
    write_single, write_batch = (Samples([t.write_ms for t in turns]) for turns in (single, batch))
    pull_ratio = ratio(pull_single.median, pull_batch.median)
    write_ratio = ratio(write_single.median, write_batch.median)
    return Measured(
        about=f"The worker's own statements: pull {PULLED} jobs and write {WRITTEN} results,"
        " one by one and as one batch. The change to Windmill that gave the idea reported 365 and"
        " 4 ms for the pull, 162 and 4 ms for the write.",
        columns=("", "median of rounds, ms", "lowest … highest"),
        rows=(
            (f"pull {PULLED}, one by one", *pull_single.shown()),
            (f"pull {PULLED}, as a batch", *pull_batch.shown()),
            ("    one by one ÷ batch", shown(pull_ratio), ""),
            (f"write {WRITTEN}, one by one", *write_single.shown()),
            (f"write {WRITTEN}, as a batch", *write_batch.shown()),
            ("    one by one ÷ batch", shown(write_ratio), ""),
        ),
        figures={
            "pull_ratio": pull_ratio,
            "write_ratio": write_ratio,
            "pull_single_ms": pull_single.median,
            "pull_batch_ms": pull_batch.median,
            "write_single_ms": write_single.median,
            "write_batch_ms": write_batch.median,
            "pulled": PULLED,
            "written": WRITTEN,
            "rounds": len(single),
        },
    )
