"""A cancel reaches a running job: at once over the line that hints come by, or with a heartbeat."""

from collections.abc import Callable
from typing import NoReturn
from uuid import UUID

import trio

from tests.worker.harness import Rig
from trioworker import open_client
from trioworker.events import CancelReceived
from trioworker.model.job import Job
from trioworker.model.outcome import Outcome
from trioworker.store.postgres.store import PostgresStore
from trioworker.store.protocol import Hint

LEASE_S = 3600.0
PATIENCE_S = 50.0
"""Less than the heartbeat of a worker that must not wait for it."""


class Deaf(PostgresStore):
    """The store of a worker whose line for hints is never there."""

    async def listen(self, heard: Callable[[Hint], None]) -> NoReturn:
        """Hear nothing."""
        del heard
        await trio.sleep_forever()
        raise AssertionError


class Running:
    """Jobs that hang; the one that was asked for is cancelled once all of them run."""

    def __init__(self, rig: Rig, count: int) -> None:
        self._rig = rig
        self._left = count
        self._all = trio.Event()
        rig.runner.body = self._hang

    async def cancel(self, id_: UUID) -> None:
        """Cancel when it is time."""
        await self._all.wait()
        async with open_client(self._rig.url) as client:
            await client.cancel([id_], "enough")

    async def _hang(self, _job: Job) -> Outcome:
        self._left -= 1
        if not self._left:
            self._all.set()
        await trio.sleep_forever()
        raise AssertionError


async def test_a_running_job_is_stopped_long_before_the_next_heartbeat(rig: Rig) -> None:
    """The cancel tells its worker, and so it is with every job below."""
    running = Running(rig, 2)
    parent, child = await rig.enqueue(2)
    rig.do("update trioworker.job set parent = %s where id = %s", parent, child)
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(running.cancel, parent)
            await rig.work(heartbeat_s=60.0, lease_s=LEASE_S)
    assert rig.statuses() == {"canceled": 2}
    assert {said.job for said in rig.said(CancelReceived)} == {parent, child}
    assert [error["message"] for error in rig.errors()] == ["enough"] * 2


async def test_without_hints_it_is_stopped_with_the_next_heartbeat(rig: Rig) -> None:
    """The request is there to be found."""
    running = Running(rig, 1)
    (id_,) = await rig.enqueue(1)
    deaf = Deaf(rig.database, now_s=trio.current_time)
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(running.cancel, id_)
            await rig.work(store=deaf, heartbeat_s=0.5, lease_s=LEASE_S)
    assert rig.statuses() == {"canceled": 1}


async def test_a_cancelled_job_is_not_retried(rig: Rig) -> None:
    """Whatever its policy says."""
    running = Running(rig, 1)
    retry = '{"retry": {"forever": true, "delay_s": 0.0}}'
    (id_,) = await rig.enqueue(1, options=retry)
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(running.cancel, id_)
            await rig.work(heartbeat_s=0.5, lease_s=LEASE_S)
    assert rig.statuses() == {"canceled": 1}
    assert rig.runner.executions == {id_: 1}
