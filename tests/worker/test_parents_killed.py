"""A worker that is killed in the middle of a parent: another goes on where it was."""

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from tests.worker.harness import Rig, until
from tests.worker.parents import result

RAN = "select what, count(*) from ran group by what"


@asynccontextmanager
async def worker(rig: Rig) -> AsyncIterator[trio.Process]:
    """A worker process, killed at the end."""
    process = await trio.lowlevel.open_process(
        [sys.executable, "-m", "tests.worker.parent_program", rig.url], stdout=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


async def test_what_has_ended_is_not_run_again(rig: Rig) -> None:
    """Neither a child nor a step, however often the worker of their parent is killed."""
    rig.do("create table ran (what text)")
    rig.do("create table gate ()")
    (job,) = await rig.enqueue(1, path="parent")
    for times in (1, 2):
        async with worker(rig):
            await until(lambda: dict(rig.query(RAN)).get("slow") == times)  # noqa: B023 - awaited here
    async with worker(rig):
        rig.do("insert into gate default values")
        await until(lambda: rig.counts()["completed"] == 22)
    assert result(rig, job) == [1, 190, 1, "at last"]
    ran = dict(rig.query(RAN))
    assert ran.pop("parent") >= 3
    assert ran.pop("slow") >= 2
    assert ran == {f"quick {n}": 1 for n in range(20)} | {"first": 1, "second": 1}
