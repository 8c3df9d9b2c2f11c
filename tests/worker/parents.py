"""Functions that enqueue children and do steps, and how a test runs them on a real database.

Rule of this file: what has run is counted in `runs`, by what it was; `events` are what a function
waits for, by name. Both are new for each test.
"""

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from uuid import UUID

import trio

from tests.worker.harness import Rig
from trioworker import App, Call, ChildCancelled, ChildFailed, JobContext, Unique
from trioworker.runners.function import FunctionRunner
from trioworker.worker.supervisor import Report

app: Final = App()
runs: Final[Counter[str]] = Counter()
events: Final[defaultdict[str, trio.Event]] = defaultdict(trio.Event)


class Busy:
    """How many functions do something at once, and the most there were."""

    now = 0
    most = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        """One more."""
        self.now += 1
        self.most = max(self.most, self.now)
        yield
        self.now -= 1


busy: Final = Busy()


def reset() -> None:
    """Nothing has happened yet."""
    runs.clear()
    events.clear()
    busy.now = busy.most = 0


# ---- children -----------------------------------------------------------------------------------


@app.job
async def double(number: int) -> int:
    """Fine."""
    runs[f"double {number}"] += 1
    return 2 * number


@app.job
async def boom(number: int) -> int:
    """Fails."""
    runs[f"boom {number}"] += 1
    raise ValueError(f"no {number}")


@app.job
async def at_second(number: int) -> int:
    """Fails at first."""
    runs["at second"] += 1
    if runs["at second"] == 1:
        raise ValueError("not yet")
    return number


@app.job
async def held(name: str) -> str:
    """Waits for an event."""
    runs[f"held {name}"] += 1
    events[f"began {name}"].set()
    await events[name].wait()
    return name


@app.job
async def computes(_number: int) -> int:
    """Is busy for a moment."""
    with busy.one():
        await trio.sleep(0.002)
    return 1


@app.job(unique=Unique())
async def only_one(name: str) -> str:
    """Unique."""
    runs[f"only one {name}"] += 1
    return name


# ---- parents ------------------------------------------------------------------------------------


@app.job
async def sum_of_doubles(ctx: JobContext, count: int) -> int:
    """Waits for many at once."""
    children = await ctx.enqueue_each(double, [{"number": n} for n in range(count)])
    return sum(await ctx.gather(children))


@app.job
async def one_by_one(ctx: JobContext, count: int) -> list[int]:
    """Waits for one after the other."""
    return [await ctx.call(double, n) for n in range(count)]


@app.job
async def side_by_side(ctx: JobContext, count: int) -> dict[int, int]:
    """Has tasks that wait, each for its own."""
    found: dict[int, int] = {}

    async def one(number: int) -> None:
        found[number] = await ctx.call(double, number)

    async with trio.open_nursery() as nursery:
        for number in range(count):
            nursery.start_soon(one, number)
    return dict(sorted(found.items()))


@app.job
async def deep(ctx: JobContext, depth: int) -> int:
    """Is a parent of parents."""
    return 0 if depth == 0 else 1 + await ctx.call(deep, depth - 1)


@app.job
def in_thread(ctx: JobContext, count: int) -> list[int]:
    """Runs in a thread."""
    first = ctx.sync.step("first", lambda: 100)
    children = [ctx.sync.enqueue(double, n) for n in range(count)]
    return [first, *ctx.sync.gather(children), ctx.sync.call(double, number=50)]


@app.job(flavour="asyncio")
async def on_asyncio(ctx: JobContext, count: int) -> list[int]:
    """Runs on asyncio."""
    first = await ctx.step("first", asyncio.sleep, 0, 100)
    children = [await ctx.enqueue(double, n) for n in range(count)]
    return [first, *await asyncio.gather(*(child.result() for child in children))]


@app.job
async def hopes(ctx: JobContext) -> list[str]:
    """Has a child that fails."""
    children = [await ctx.enqueue(boom, 1), await ctx.enqueue(double, 2)]
    found = await ctx.gather(children, return_exceptions=True)
    try:
        await ctx.gather(children)
    except ChildFailed as error:
        return [type(one).__name__ for one in found] + [error.path, error.name]
    return []


@app.job
async def computes_between(ctx: JobContext, rounds: int) -> int:
    """Is busy before, between and after its children."""
    for number in range(rounds):
        with busy.one():
            await trio.sleep(0.002)
        await ctx.call(computes, number)
    with busy.one():
        await trio.sleep(0.002)
    return rounds


@app.job
async def waits(ctx: JobContext, name: str) -> str:
    """Waits for what is held."""
    runs["waits"] += 1
    return await ctx.call(held, name)


@app.job
async def leaves_behind(ctx: JobContext, name: str) -> str:
    """Fails while it has children."""
    await ctx.enqueue(held, name)
    await ctx.using(delay_s=3600).enqueue(double, 1)
    await events[f"began {name}"].wait()
    raise ValueError("enough")


@app.job
async def does_not_wait(ctx: JobContext, name: str) -> str:
    """Succeeds while it has children."""
    await ctx.enqueue(held, name)
    return "done"


@app.job
async def elsewhere(ctx: JobContext) -> int:
    """Has a child that other workers take."""
    return await ctx.using(tag="other").call(double, 3)


@app.job(retry=3)
async def tries_again(ctx: JobContext) -> list[int]:
    """Has a child that fails at first."""
    runs["tries again"] += 1
    return [await ctx.call(double, 1), await ctx.call(at_second, 2)]


@app.job
async def takes_comfort(ctx: JobContext) -> str:
    """Goes on when its child is cancelled."""
    try:
        return await ctx.call(held, "x")
    except ChildCancelled as error:
        return error.reason


@app.job(retry=2)
async def changes_its_mind(ctx: JobContext) -> int:
    """Asks for another child under the same key."""
    runs["changes its mind"] += 1
    await ctx.using(key="the one").call(double, runs["changes its mind"])
    raise ValueError("once more")


@app.job
async def of_others(ctx: JobContext) -> list[str]:
    """Asks twice for what is unique."""
    children = [await ctx.enqueue(only_one, "a"), await ctx.using(key="b").enqueue(only_one, "a")]
    return await ctx.gather(children)


@app.job(chunk=2)
def chunk(calls: list[Call[dict[str, int]]]) -> list[str]:
    """Can have no children."""
    return [_refused(call) for call in calls]


@app.job(flavour="process")
def in_process(ctx: JobContext) -> str:
    """Can have no children."""
    return _refused(ctx)


def _refused(ctx: JobContext) -> str:
    try:
        ctx.sync.call(double, 1)
    except Exception as error:  # noqa: BLE001 - that is what is looked at
        return f"{type(error).__name__}: {error}"
    return "fine"


async def work(rig: Rig, *, concurrency: int = 100, **settings: object) -> Report:
    """Run a worker with these functions."""
    runner = FunctionRunner(app, random.Random(1), concurrency=concurrency)
    async with runner.open():
        return await rig.work(runner=runner, concurrency=concurrency, **settings)  # type: ignore[arg-type]  # as there


def result(rig: Rig, job: UUID) -> object:
    """What a job returned."""
    ((status, value, error),) = rig.query(
        "select status, result, error from trioworker.job_completed where id = %s", job
    )
    assert status == "success", error
    returned: object = value
    return returned


def error(rig: Rig, job: UUID) -> tuple[str, str]:
    """How a job failed: its status, and the name of its error."""
    ((status, name),) = rig.query(
        "select status, error->>'name' from trioworker.job_completed where id = %s", job
    )
    return status, name
