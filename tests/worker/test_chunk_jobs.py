"""Chunk functions under a real worker: what is stored for each of their jobs, in every mode."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from random import Random

import pytest
import trio

from tests.worker.harness import Rig, until
from trioworker.app import App
from trioworker.client import Client, open_client
from trioworker.errors import Snooze
from trioworker.events import JobStarted
from trioworker.model.batching import Mode
from trioworker.model.options import RetryPolicy
from trioworker.runners.function import FunctionRunner
from trioworker.worker.supervisor import Stop


@dataclass
class Item:
    """The arguments of the jobs here."""

    number: int
    how: str = ""


class Work:
    """An app with one chunk function, which says what it was called with."""

    def __init__(self, chunk: int) -> None:
        self.app = App()
        self.chunks: list[list[int]] = []
        self.entered = trio.Event()
        self.open = trio.Event()
        self.app.job(chunk=chunk, retry=RetryPolicy(2, delay_s=0))(self.square)

    async def square(self, calls: list[Item]) -> list[object]:
        """End each job as it asks for; wait for the gate when one of them does."""
        self.chunks.append([item.number for item in calls])
        if any(item.how == "wait" for item in calls):
            self.entered.set()
            await self.open.wait()
        return [self.ended(item) for item in calls]

    def ended(self, item: Item) -> object:
        """A result or an exception; those that fail and snooze do so the first time only."""
        first = sum(chunk.count(item.number) for chunk in self.chunks) == 1
        if item.how == "error":
            return ValueError(f"no {item.number}")
        if first and item.how == "flaky":
            return ConnectionError("try again")
        if first and item.how == "snooze":
            return Snooze(0)
        return "\x00" if item.how == "poison" else item.number * item.number


@pytest.fixture
async def client(rig: Rig) -> AsyncIterator[Client]:
    """A client of the rig's database."""
    async with open_client(rig.url) as opened:
        yield opened


async def enqueue(client: Client, *hows: str) -> None:
    """Jobs 0, 1, 2, … that end as they are told."""
    for number, how in enumerate(hows):
        await client.enqueue("square", {"number": number, "how": how})


def results(rig: Rig) -> list[object]:
    """What is stored, in the order in which it was enqueued: a result or an error's name."""
    return [
        row[0]
        for row in rig.query(
            "select coalesce(result, error->'name') from trioworker.job_completed"
            " join trioworker.job using (id) order by (args->>'number')::integer"
        )
    ]


@pytest.mark.parametrize("mode", [Mode.AGENT_BATCH, Mode.WORKER])
async def test_jobs_are_run_together_and_stored_each_for_itself(
    rig: Rig, client: Client, mode: Mode
) -> None:
    """In batches and per job, results of 50 jobs come from fewer calls of at most 20."""
    work = Work(chunk=20)
    await enqueue(client, *[""] * 50)
    runner = FunctionRunner(work.app, Random(1), concurrency=100)
    async with runner.open():
        await rig.work(runner=runner, mode=mode, pull=50)
    assert results(rig) == [number * number for number in range(50)]
    assert sorted(number for chunk in work.chunks for number in chunk) == list(range(50))
    assert max(len(chunk) for chunk in work.chunks) <= 20
    assert len(work.chunks) < 50
    if mode is Mode.WORKER:
        assert {statement.jobs for statement in rig.statements("pull")} == {1}


async def test_failures_retries_and_refusals_stay_each_jobs_own(rig: Rig, client: Client) -> None:
    """One fails for good, one at first, one snoozes, one returns what the database refuses."""
    work = Work(chunk=6)
    await enqueue(client, "", "error", "flaky", "snooze", "poison", "")
    runner = FunctionRunner(work.app, Random(1), concurrency=100)
    async with runner.open():
        await rig.work(runner=runner)
    assert results(rig) == [0, "ValueError", 4, 9, "OutcomeRefused", 25]
    runs = [number for chunk in work.chunks for number in chunk]
    assert [runs.count(number) for number in range(6)] == [1, 2, 2, 2, 1, 1]


async def test_a_job_cancelled_in_its_chunk_is_stored_so_and_the_others_go_on(
    rig: Rig, client: Client
) -> None:
    """The cancel reaches it while the call runs; jobs of a chunk count as running meanwhile."""
    work, stop = Work(chunk=3), Stop()
    await enqueue(client, "wait", "", "")
    victim = rig.query("select id from trioworker.job where args->>'number' = '1'")[0][0]
    runner = FunctionRunner(work.app, Random(1), concurrency=3)
    async with runner.open(), trio.open_nursery() as nursery:

        @nursery.start_soon
        async def worker() -> None:
            await rig.work(runner=runner, stop=stop, concurrency=3)

        with trio.fail_after(30):
            await work.entered.wait()
        assert len(rig.said(JobStarted)) == 3
        assert (await client.cancel([victim])).asked == [victim]
        await until(lambda: rig.counts()["completed"] == 1)
        assert rig.statuses() == {"canceled": 1}
        work.open.set()
        await until(lambda: rig.counts()["completed"] == 3)
        stop.ask()
    assert results(rig) == [0, "Cancelled", 4]


async def test_a_stop_gives_the_jobs_of_a_chunk_back(rig: Rig, client: Client) -> None:
    """When the grace is over the call is cancelled, and no attempt is charged."""
    work, stop = Work(chunk=2), Stop()
    await enqueue(client, "wait", "")
    runner = FunctionRunner(work.app, Random(1), concurrency=2)
    async with runner.open(), trio.open_nursery() as nursery:

        @nursery.start_soon
        async def worker() -> None:
            report = await rig.work(runner=runner, stop=stop, concurrency=2, grace_s=0.0)
            assert report.unsaved == []

        with trio.fail_after(30):
            await work.entered.wait()
        stop.ask()
    assert rig.counts() == {"ready": 2, "waiting": 0, "claimed": 0, "completed": 0}
    assert {row[0] for row in rig.query("select attempt from trioworker.ready")} == {1}
