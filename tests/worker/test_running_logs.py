"""What jobs write is stored while they run."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest
import trio

from tests.worker.harness import CountingRunner, Rig, until
from trioworker.errors import ConnectionLost
from trioworker.events import FlushFailed
from trioworker.model.batching import Mode
from trioworker.model.job import Job
from trioworker.model.outcome import Outcome, Succeeded
from trioworker.model.running import Said
from trioworker.runners.joblog import JobLog
from trioworker.store.postgres.store import PostgresStore

QUICK_S = 0.01


class Writing(CountingRunner):
    """Jobs that write "begun", and end with "ended" when they may."""

    def __init__(self) -> None:
        super().__init__()
        self.go = trio.Event()
        self.begun = 0

    async def run(self, job: Job, log: JobLog) -> Outcome:
        """Write, wait, write."""
        del job
        log.write("begun\n")
        self.begun += 1
        await self.go.wait()
        log.write("ended\n")
        return Succeeded(b"1")


class Unlucky(PostgresStore):
    """A store that loses the first flushes."""

    lost = 0

    async def store_running(
        self, worker: UUID, said: Sequence[Said], *, number: int | None = None
    ) -> None:
        """Lose three, the second of them after it took effect."""
        self.lost += 1
        if self.lost in {2, 4}:
            await super().store_running(worker, said, number=number)
        if self.lost < 4:
            raise ConnectionLost("cut")


@asynccontextmanager
async def working(
    rig: Rig,
    **settings: Any,  # noqa: ANN401 - those of Rig.work
) -> AsyncIterator[Writing]:
    """A worker whose jobs may end when the context is left; then it is drained."""
    runner = Writing()
    async with trio.open_nursery() as nursery:

        async def work() -> None:
            await rig.work(runner=runner, log_flush_s=QUICK_S, **settings)

        nursery.start_soon(work)
        yield runner
        runner.go.set()


def logs(rig: Rig) -> set[tuple[str]]:
    """What is stored, each text once."""
    texts = "select string_agg(text, '' order by chunk) from trioworker.job_log group by id"
    return set(rig.query(texts))


async def test_lines_of_all_running_jobs_are_stored_in_one_statement(rig: Rig) -> None:
    """While they run, each line once; and the rest with their outcomes."""
    await rig.enqueue(7)
    async with working(rig) as runner:
        await until(lambda: len(rig.query("select from trioworker.job_log")) == 7)
        assert runner.begun == 7
    assert logs(rig) == {("begun\nended\n",)}
    assert sum(one.jobs for one in rig.statements("store_running")) == 7


@pytest.mark.parametrize("mode", [Mode.WORKER, Mode.STANDALONE])
async def test_outside_agent_batch_each_job_has_a_statement_of_its_own(
    rig: Rig, mode: Mode
) -> None:
    """As everything else that is stored there."""
    await rig.enqueue(3)
    async with working(rig, mode=mode):
        await until(lambda: len(rig.query("select from trioworker.job_log")) == 3)
    assert [one.jobs for one in rig.statements("store_running")] == [1, 1, 1]
    assert logs(rig) == {("begun\nended\n",)}


async def test_a_flush_that_fails_costs_nothing_but_lateness(rig: Rig) -> None:
    """Whether or not it took effect: the next one stores the same again."""
    await rig.enqueue(2)
    store = Unlucky(rig.database, now_s=trio.current_time)
    async with working(rig, store=store):
        await until(lambda: store.lost >= 4)
    assert logs(rig) == {("begun\nended\n",)}
    assert [event.message for event in rig.said(FlushFailed)] == ["cut"] * 3
