"""Functions that enqueue children and do steps, and how a test runs them on a real database."""

import asyncio
import random
from collections import Counter
from uuid import UUID

import trio

from tests.worker.harness import Rig
from trioworker import App, ChildFailed, JobContext
from trioworker.runners.function import FunctionRunner
from trioworker.worker.supervisor import Report

app = App()
runs: Counter[str] = Counter()
"""How often what ran, by what it was called with."""


@app.job
async def double(number: int) -> int:
    """A child."""
    runs[f"double {number}"] += 1
    return 2 * number


@app.job
async def boom(number: int) -> int:
    """A child that fails."""
    raise ValueError(f"no {number}")


@app.job
async def sum_of_doubles(ctx: JobContext, count: int) -> int:
    """A parent that waits for many at once."""
    children = await ctx.enqueue_each(double, [{"number": n} for n in range(count)])
    return sum(await ctx.gather(children))


@app.job
async def one_by_one(ctx: JobContext, count: int) -> list[int]:
    """A parent that waits for one after the other."""
    return [await ctx.call(double, n) for n in range(count)]


@app.job
async def side_by_side(ctx: JobContext, count: int) -> dict[int, int]:
    """A parent whose tasks wait, each for its own."""
    found: dict[int, int] = {}

    async def one(number: int) -> None:
        found[number] = await ctx.call(double, number)

    async with trio.open_nursery() as nursery:
        for number in range(count):
            nursery.start_soon(one, number)
    return dict(sorted(found.items()))


@app.job
async def deep(ctx: JobContext, depth: int) -> int:
    """A parent of parents."""
    return 0 if depth == 0 else 1 + await ctx.call(deep, depth - 1)


@app.job
def in_thread(ctx: JobContext, count: int) -> list[int]:
    """A parent in a thread."""
    first = ctx.sync.step("first", lambda: 100)
    children = [ctx.sync.enqueue(double, n) for n in range(count)]
    return [first, *ctx.sync.gather(children)]


@app.job(flavour="asyncio")
async def on_asyncio(ctx: JobContext, count: int) -> list[int]:
    """A parent on asyncio."""
    first = await ctx.step("first", asyncio.sleep, 0, 100)
    children = [await ctx.enqueue(double, n) for n in range(count)]
    return [first, *await asyncio.gather(*(child.result() for child in children))]


@app.job
async def hopes(ctx: JobContext) -> list[str]:
    """A parent whose children fail."""
    children = [await ctx.enqueue(boom, 1), await ctx.enqueue(double, 2)]
    found = await ctx.gather(children, return_exceptions=True)
    try:
        await ctx.gather(children)
    except ChildFailed as error:
        return [type(one).__name__ for one in found] + [error.path, error.name]
    return []


async def work(rig: Rig, *, concurrency: int = 100, **settings: object) -> Report:
    """Run a worker with these functions."""
    runner = FunctionRunner(app, random.Random(1), concurrency=concurrency)
    async with runner.open():
        return await rig.work(runner=runner, concurrency=concurrency, **settings)  # type: ignore[arg-type]  # as there


def result(rig: Rig, job: UUID) -> object:
    """What a job returned."""
    (found,) = rig.query(
        "select status, result, error from trioworker.job_completed where id = %s", job
    )
    assert found[0] == "success", found
    returned: object = found[1]
    return returned
