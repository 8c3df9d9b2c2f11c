"""Functions with children and steps, run by the helpers for tests."""

from collections import Counter
from typing import Final

import anyio
import pytest

from trioworker import App, ChildFailed, JobContext, JobFailed
from trioworker.testing import MemoryQueue, run_job

app: Final = App()
runs: Final[Counter[str]] = Counter()


@pytest.fixture(autouse=True)
def fresh() -> None:
    """Nothing is left of another test."""
    runs.clear()


@app.job
async def double(number: int) -> int:
    """A child."""
    runs["double"] += 1
    return 2 * number


@app.job
async def shaky() -> str:
    """A child that fails at first."""
    runs["shaky"] += 1
    if runs["shaky"] == 1:
        raise ValueError("not yet")
    return "fine"


@app.job
async def total(ctx: JobContext, count: int) -> int:
    """A parent."""
    first = await ctx.step("first", lambda: 100)
    children = await ctx.enqueue_each(double, [[n] for n in range(count)])
    return first + sum(await ctx.gather(children))


@app.job
def in_thread(ctx: JobContext) -> int:
    """A parent in a thread, of a parent."""
    return ctx.sync.call(total, count=3)


@app.job(flavour="asyncio")
async def on_asyncio(ctx: JobContext) -> int:
    """A parent on asyncio."""
    return await ctx.call(total, 3)


@app.job
async def caught(ctx: JobContext) -> str:
    """A parent whose child fails."""
    try:
        return await ctx.call(shaky)
    except ChildFailed as error:
        return error.reason


def counted() -> int:
    """A step."""
    runs["first"] += 1
    return 1


@app.job(retry=2)
async def again(ctx: JobContext) -> list[object]:
    """A parent that is tried again."""
    first = await ctx.step("first", counted)
    return [first, await ctx.call(double, 1), await ctx.call(shaky)]


@app.job
async def later(ctx: JobContext) -> int:
    """A parent of what is due later."""
    return await ctx.using(delay_s=60).call(double, 1)


def on_both(path: str) -> None:
    """Run it from a test on Trio and from one on asyncio."""
    for backend in ("trio", "asyncio"):
        runs.clear()
        assert anyio.run(run_job, app, path, backend=backend) == 106
        assert runs == {"double": 3}


@pytest.mark.parametrize("path", ["in_thread", "on_asyncio"])
def test_a_child_is_run_when_it_is_waited_for(path: str) -> None:
    """In every flavour, and at whatever depth."""
    on_both(path)


async def test_a_child_that_fails_raises() -> None:
    """What it raised is what its parent is told."""
    assert await run_job(app, "caught") == "not yet"


async def test_a_later_attempt_finds_what_there_is() -> None:
    """Steps and children that succeeded are not done again; what failed is."""
    queue = MemoryQueue(app)
    job = await queue.enqueue("again")
    await queue.drain(raise_failures=False)
    queue.clock.advance(60)
    assert await queue.result(job) == [1, 2, "fine"]
    assert runs == {"first": 1, "double": 1, "shaky": 2}
    assert {child.path for child in await queue.children(job)} == {"double", "shaky"}
    assert [(step.name, step.result) for step in await queue.steps(job)] == [("first", 1)]


async def test_what_is_not_waited_for_is_there_to_be_drained() -> None:
    """As any job that a job enqueues."""
    queue = MemoryQueue(app)
    await queue.enqueue("total", [2])
    await queue.drain()
    assert len(queue.enqueued("double")) == 2


async def test_a_child_that_is_due_later_cannot_be_waited_for() -> None:
    """Nobody else moves the clock."""
    with pytest.raises(JobFailed, match="the child 'double' is due at"):
        await run_job(app, "later")
