"""Children and steps as a user's type checker sees them. Never run; see `api.py`."""

# pyright: reportUnnecessaryTypeIgnoreComment=error

import asyncio
from typing import Any, assert_type

from trioworker import App, Child, ChildFailed, JobContext, SyncChild

app = App()


@app.job
async def double(number: int) -> int:
    """A child that is a coroutine."""
    return 2 * number


@app.job
def upper(text: str) -> str:
    """One in a thread."""
    return text.upper()


@app.job
async def nested(ctx: JobContext, number: int, *, name: str = "") -> list[str]:
    """One that takes a context, which nobody gives."""
    del ctx
    return [name] * number


async def ship(order: int) -> str:
    """A step that is a coroutine."""
    return str(order)


def charge(order: int, *, amount: float) -> float:
    """A plain one."""
    return order * amount


@app.job
async def parent(ctx: JobContext) -> None:
    """All that a coroutine may do."""
    child = await ctx.enqueue(double, 1)
    assert_type(child, Child[int])
    assert_type(await child, int)
    assert_type(await child.result(), int)
    assert_type(await ctx.call(double, number=1), int)
    assert_type(await ctx.call(upper, "a"), str)
    assert_type(await ctx.call(nested, 1, name="b"), list[str])
    assert_type(await ctx.call("elsewhere", 1, name="b"), Any)
    assert_type(await ctx.gather([child, child]), list[int])
    await ctx.gather([child], return_exceptions=True)
    many = await ctx.enqueue_each(double, [{"number": 1}, [2]])
    assert_type(many, list[Child[int]])
    assert_type(await ctx.using(key="a", tag="gpu", delay_s=5).call(upper, "a"), str)
    assert_type(await ctx.step("ship", ship, 1), str)
    assert_type(await ctx.step("charge", charge, 1, amount=2.0), float)
    await asyncio.gather(ctx.call(double, 1), child.result())
    await ctx.call(double, "one")  # type: ignore[call-overload]  # it takes a number
    await ctx.call(nested, "one")  # type: ignore[call-overload]  # likewise
    ctx.using(colour="red")  # type: ignore[call-arg]  # no setting  # there is no such setting


@app.job
def in_thread(ctx: JobContext) -> None:
    """The same without await."""
    child = ctx.sync.enqueue(double, 1)
    assert_type(child, SyncChild[int])
    assert_type(child.result(), int)
    assert_type(ctx.sync.call(nested, 1), list[str])
    assert_type(ctx.sync.gather([child]), list[int])
    assert_type(ctx.sync.enqueue_each(upper, [["a"]]), list[SyncChild[str]])
    assert_type(ctx.sync.step("charge", charge, 1, amount=2.0), float)
    assert_type(ctx.sync.using(key="a").call("elsewhere"), Any)
    try:
        ctx.sync.call(double, 1)
    except ChildFailed as error:
        assert_type(error.path, str)
