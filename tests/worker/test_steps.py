"""Durable steps: done once, and what they returned is there for every later attempt."""

import random
from collections import Counter
from typing import Final

import pytest
import trio

from tests.worker.harness import Rig, until
from trioworker import App, JobContext
from trioworker.runners.function import FunctionRunner
from trioworker.worker.supervisor import Stop

runs: Final[Counter[str]] = Counter()
app: Final = App()
ONCE_MORE: Final = '{"retry": {"attempts": 3, "delay_s": 0.0, "jitter": 0.0}}'


@pytest.fixture(autouse=True)
def fresh() -> None:
    """Nothing is left of another test."""
    runs.clear()


def charge(amount: int) -> dict[str, int]:
    """A step."""
    runs["charge"] += 1
    return {"charged": amount}


async def ship(place: str) -> tuple[str, int]:
    """Another one, which is a coroutine; its result is a tuple, which JSON has not."""
    runs["ship"] += 1
    await trio.lowlevel.checkpoint()
    return place, 1


async def shaky() -> str:
    """One that fails at first."""
    runs["shaky"] += 1
    if runs["shaky"] == 1:
        raise ValueError("not yet")
    return "fine"


@app.job
async def order(ctx: JobContext) -> list[object]:
    """Fails after its steps, at first."""
    runs["order"] += 1
    charged = await ctx.step("charge", charge, 5)
    shipped = await ctx.step("ship", ship, place="here")
    if runs["order"] == 1:
        raise ValueError("once more")
    return [charged, shipped, type(shipped).__name__]


@app.job
async def tries(ctx: JobContext) -> str:
    """Does a step again that failed."""
    try:
        return await ctx.step("shaky", shaky)
    except ValueError:
        return await ctx.step("shaky", shaky)


@app.job
async def twice(ctx: JobContext) -> None:
    """Calls two steps alike."""
    for amount in range(2):
        await ctx.step("charge", charge, amount)


@app.job
async def odd(ctx: JobContext) -> None:
    """Has a step that returns what is no JSON."""
    await ctx.step("odd", object)


@app.job
async def nul(ctx: JobContext) -> str:
    """Has a step whose result the database will not take."""
    return await ctx.step("nul", lambda: "\x00")


async def run(rig: Rig, path: str, **columns: object) -> tuple[str, object, object]:
    """Run one job until it has ended: its status, result and error."""
    (job,) = await rig.enqueue(1, path=path, **columns)
    stop = Stop()
    runner = FunctionRunner(app, random.Random(1))
    async with runner.open(), trio.open_nursery() as nursery:
        nursery.start_soon(lambda: rig.work(runner=runner, stop=stop))
        await until(lambda: rig.counts()["completed"] == 1)
        stop.ask()
    ((status, result, error),) = rig.query(
        "select status, result, error->>'message' from trioworker.job_completed where id = %s", job
    )
    return status, result, error


async def test_a_step_is_done_once(rig: Rig) -> None:
    """A later attempt gets what it returned, in the same shape."""
    status, result, _ = await run(rig, "order", options=ONCE_MORE)
    assert (status, result) == ("success", [{"charged": 5}, ["here", 1], "tuple"])
    assert runs == {"order": 2, "charge": 1, "ship": 1}
    stored = "select name, result from trioworker.job_step order by at, name"
    assert rig.query(stored) == [("charge", {"charged": 5}), ("ship", ["here", 1])]


async def test_a_step_that_raises_is_none(rig: Rig) -> None:
    """It may be done again, under its name."""
    assert (await run(rig, "tries"))[:2] == ("success", "fine")
    assert runs == {"shaky": 2}


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("twice", "two steps of a job cannot both be called 'charge'"),
        ("odd", "step 'odd' returned a object that cannot be written as JSON"),
        ("nul", "the result of step 'nul' could not be stored"),
    ],
)
async def test_a_step_that_cannot_be_is_told(rig: Rig, path: str, said: str) -> None:
    """In one line; the job fails of it, and nothing else does."""
    status, _, error = await run(rig, path)
    assert status == "failure"
    assert str(error).startswith(said)
    assert "\n" not in str(error)


async def test_steps_are_deleted_with_their_job(rig: Rig) -> None:
    """Nothing is left of a job that is not kept."""
    await run(rig, "order", options=ONCE_MORE)
    assert not await rig.store().delete_ended(older_s=0.0)
    assert rig.query("select * from trioworker.job_step") == []
