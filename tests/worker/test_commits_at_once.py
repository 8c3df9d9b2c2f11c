"""Commits side by side, for a store to which the way is long: the next batch sets out early."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

import pytest
import trio
import trio.testing

from tests.worker.harness import Rig
from trioworker.errors import StatementTimeout
from trioworker.events import CommitFailed
from trioworker.model.outcome import Executed
from trioworker.store.agent import AgentStore
from trioworker.store.postgres.database import PostgresDatabase
from trioworker.store.postgres.store import PostgresStore
from trioworker.store.protocol import Stored
from trioworker.worker.supervisor import Report, Stop

SIZE = 3


class Distant(PostgresStore):
    """Holds commits back until told to let them pass; `under_way` are their sizes."""

    commits_at_once = 2

    def __init__(self, database: PostgresDatabase) -> None:
        super().__init__(database, now_s=trio.current_time)
        self.under_way: list[int] = []
        self.go = trio.Event()
        self.failing: set[int] = set()
        self._commits = 0

    async def commit(self, worker: UUID, batch: Sequence[Executed], *, again: bool) -> Stored:
        """See `Store.commit`."""
        self._commits += 1
        number = self._commits
        self.under_way.append(len(batch))
        await self.go.wait()
        if number in self.failing:
            raise StatementTimeout("too slow", ambiguous=True)
        return await super().commit(worker, batch, again=again)


@asynccontextmanager
async def working(rig: Rig, store: PostgresStore, stop: Stop) -> AsyncIterator[list[Report]]:
    """A worker that looks for jobs; its report is there after the context."""
    reports: list[Report] = []

    async def work() -> None:
        reports.append(await rig.work(store=store, pull=SIZE, commit=SIZE, stop=stop))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(work)
        yield reports
        stop.ask()


@pytest.mark.parametrize(("jobs", "sizes"), [(3, [3]), (5, [3]), (6, [3, 3]), (30, [3, 3])])
async def test_a_second_commit_is_of_a_full_batch(rig: Rig, jobs: int, sizes: list[int]) -> None:
    """What is less gathers for the first, and there is never a third."""
    ids = await rig.enqueue(jobs, kind="noop")
    store = Distant(rig.database)
    async with working(rig, store, Stop()):
        while sum(store.under_way) < sum(sizes):
            await trio.testing.wait_all_tasks_blocked(0.01)
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert store.under_way == sizes
        store.go.set()
        while rig.counts()["completed"] < len(ids):
            await trio.testing.wait_all_tasks_blocked(0.01)
    assert rig.statuses() == {"success": jobs}


async def test_one_that_fails_keeps_its_own(rig: Rig) -> None:
    """It is tried again, and divided in the end, while others are stored beside it."""
    await rig.enqueue(12, kind="noop")
    store = Distant(rig.database)
    store.failing = {1, 2, 3}
    store.go.set()
    async with working(rig, store, Stop()):
        while rig.counts()["completed"] < 12:
            await trio.testing.wait_all_tasks_blocked(0.01)
    assert rig.statuses() == {"success": 12}
    assert len(rig.said(CommitFailed)) == 3


async def test_what_none_has_stored_is_told(rig: Rig) -> None:
    """Once each, when a stop cuts off what is under way and what waits."""
    ids = await rig.enqueue(30, kind="noop")
    store, stop = Distant(rig.database), Stop()
    async with working(rig, store, stop) as reports:
        while store.under_way != [3, 3]:
            await trio.testing.wait_all_tasks_blocked(0.01)
        stop.ask()
        stop.ask()
    [report] = reports
    held = {row[0] for row in rig.query("select unnest(ids) from trioworker.claim")}
    assert set(report.unsaved) == held
    assert len(report.unsaved) == len(held) >= 6
    assert held < set(ids)


async def test_only_the_batches_of_agents_go_side_by_side(rig: Rig) -> None:
    """A database is near, and without batches there is one outcome at a time."""

    def agent(*, batches: bool) -> AgentStore:
        return AgentStore(
            line=None,  # type: ignore[arg-type]  # nothing is asked
            token="",
            batches=batches,
            packs=False,
            now_s=trio.current_time,
            timeout_s=1.0,
        )

    assert rig.store().commits_at_once == 1
    assert [agent(batches=batches).commits_at_once for batches in (False, True)] == [1, 2]
