"""What becomes of children whose parent ends first, and of a parent whose child is canceled."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from tests.worker import parents
from tests.worker.harness import Rig, until
from tests.worker.parents import error, events, result, work
from trioworker import Client, open_client
from trioworker.worker.supervisor import Stop

CHILDREN = "select id from trioworker.job where parent = %s order by path"


@pytest.fixture(autouse=True)
def fresh() -> None:
    """Nothing is left of another test."""
    parents.reset()


@asynccontextmanager
async def working(rig: Rig, sweep_s: float = 5.0) -> AsyncIterator[Client]:
    """A client beside a worker."""
    stop = Stop()
    async with open_client(rig.url) as client, trio.open_nursery() as nursery:
        nursery.start_soon(lambda: work(rig, stop=stop, grace_s=0.0, sweep_s=sweep_s))
        yield client
        stop.ask()


async def test_what_a_failed_parent_leaves_behind_is_canceled(rig: Rig) -> None:
    """What runs and what is scheduled, at once and not by the next sweep."""
    (job,) = await rig.enqueue(1, path="leaves_behind", args='{"name": "a"}')
    async with working(rig, sweep_s=3_600.0):
        await until(lambda: rig.statuses() == {"failure": 1, "canceled": 2})
    assert error(rig, job) == ("failure", "ValueError")
    await until(lambda: rig.query("select * from trioworker.parent") == [])


async def test_what_a_parent_leaves_behind_that_succeeds_goes_on(rig: Rig) -> None:
    """Nobody has to wait for the children that he enqueues."""
    (job,) = await rig.enqueue(1, path="does_not_wait", args='{"name": "a"}')
    async with working(rig, sweep_s=0.02):
        await events["began a"].wait()
        await until(lambda: rig.query("select * from trioworker.parent") == [])
        events["a"].set()
        await until(lambda: rig.statuses() == {"success": 2})
    assert result(rig, job) == "done"


async def test_to_cancel_a_parent_is_to_cancel_its_children(rig: Rig) -> None:
    """One that waits is stopped, and so is what it waits for."""
    (job,) = await rig.enqueue(1, path="waits", args='{"name": "a"}')
    async with working(rig) as client:
        await events["began a"].wait()
        await client.cancel([job], "enough")
        await until(lambda: rig.statuses() == {"canceled": 2})


async def test_a_parent_hears_that_its_child_was_canceled(rig: Rig) -> None:
    """It may go on all the same."""
    (job,) = await rig.enqueue(1, path="takes_comfort")
    async with working(rig) as client:
        await events["began x"].wait()
        ((child,),) = rig.query(CHILDREN, job)
        await client.cancel([child], "not today")
        await until(lambda: rig.statuses() == {"canceled": 1, "success": 1})
    assert result(rig, job) == "not today"


async def test_the_time_that_a_parent_waits_counts(rig: Rig) -> None:
    """Its timeout is for the whole attempt; its children end with it."""
    options = '{"timeout_s": 0.2}'
    (job,) = await rig.enqueue(1, path="waits", args='{"name": "a"}', options=options)
    async with working(rig):
        await until(lambda: rig.statuses() == {"failure": 1, "canceled": 1})
    assert error(rig, job) == ("failure", "Timeout")


async def test_a_sweep_sees_to_what_no_worker_did(rig: Rig) -> None:
    """A worker that dies with its parent's failure stored leaves no child running for ever."""
    failed, fine, child, other = await rig.enqueue(4, path="held")
    rig.do("delete from trioworker.ready where id = any (%s)", [failed, fine])
    rig.do("update trioworker.job set parent = %s where id = %s", failed, child)
    rig.do("update trioworker.job set parent = %s where id = %s", fine, other)
    for parent, status in ((failed, "failure"), (fine, "success")):
        rig.do("insert into trioworker.parent (id, tries) values (%s, 1)", parent)
        rig.do(
            "insert into trioworker.job_completed (id, status, attempt) values (%s, %s, 1)",
            parent,
            status,
        )
    assert not await rig.store().workflow.end_parents()
    assert rig.query("select id from trioworker.ready") == [(other,)]
    assert error(rig, child) == ("canceled", "Cancelled")
    assert rig.query("select * from trioworker.parent") == []


async def test_a_retry_by_hand_runs_what_was_canceled(rig: Rig) -> None:
    """What the first run has left behind is run for the second."""
    (job,) = await rig.enqueue(1, path="waits", args='{"name": "a"}')
    async with working(rig) as client:
        await events["began a"].wait()
        await client.cancel([job], "enough")
        await until(lambda: rig.statuses() == {"canceled": 2})
        events["a"].set()
        await client.retry([job])
        await until(lambda: rig.statuses() == {"success": 2})
    assert result(rig, job) == "a"
