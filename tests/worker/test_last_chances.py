"""A job on its last chance is alone with its worker, so that what it does costs no other job."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import UUID

import pytest
import trio

from tests.worker.harness import CountingRunner, Rig, open_rig, program, until
from tests.worker.line_cutter import line_cutter
from tests.worker.program import DEADLY
from trioworker.events import BatchAdopted, BatchPulled
from trioworker.model.batching import Mode
from trioworker.model.job import Job
from trioworker.model.outcome import Outcome, Succeeded
from trioworker.worker.supervisor import Stop

INNOCENT = 50
LEASE_S = 30.0
"""So long that a busy machine costs no living worker its lease; the dead lose theirs by hand."""
LAST_CHANCE = 3
"""Lost workers, with the default limit."""


def put_on_last_chance(rig: Rig, *jobs: UUID) -> None:
    """As if these jobs had lost three workers."""
    changed = rig.query(
        "update trioworker.ready set reaped = %s where id = any(%s) returning id",
        LAST_CHANCE,
        list(jobs),
    )
    assert len(changed) == len(jobs)


def claimed(rig: Rig) -> list[list[UUID]]:
    """The jobs of each pull, in order."""
    return [list(event.jobs) for event in rig.said(BatchPulled)]


class Gate:
    """A body that holds some jobs until it is opened, and lets the others pass."""

    def __init__(self, *held: UUID) -> None:
        self._held = held
        self._open = trio.Event()
        self.began: set[UUID] = set()

    async def body(self, job: Job) -> Outcome:
        """Succeed, if need be after the opening."""
        self.began.add(job.id)
        if job.id in self._held:
            await self._open.wait()
        return Succeeded(b'"done"')

    def open(self) -> None:
        """Let all go on."""
        self._open.set()


async def some_heartbeats_later(rig: Rig) -> None:
    """A worker that polls and beats every 10 ms has had time to pull."""
    seen = len(rig.statements("heartbeat"))
    await until(lambda: len(rig.statements("heartbeat")) >= seen + 10)


def at_work(
    rig: Rig,
    gate: Gate,
    stop: Stop | None = None,
    *,
    mode: Mode = Mode.AGENT_BATCH,
    grace_s: float = LEASE_S,
) -> Callable[[], Awaitable[object]]:
    """A worker that looks for jobs all the time."""
    runner = CountingRunner(gate.body)
    return lambda: rig.work(
        stop=stop,
        runner=runner,
        mode=mode,
        poll_s=0.01,
        heartbeat_s=0.01,
        lease_s=LEASE_S,
        grace_s=grace_s,
    )


async def test_a_job_that_kills_its_workers_costs_only_itself(rig: Rig) -> None:
    """Among 50 others that are claimed with it: it alone is given up, all others succeed."""
    await rig.enqueue(INNOCENT // 2)
    (deadly,) = await rig.enqueue(1, path=DEADLY)
    await rig.enqueue(INNOCENT // 2)
    deaths = 0
    while rig.counts()["completed"] <= INNOCENT:
        async with program(rig, job_s=0.02, lease_s=LEASE_S) as process:
            await until(
                lambda: process.poll() is not None or rig.counts()["completed"] > INNOCENT,
                within_s=60,
            )
            deaths += process.returncode is not None
        rig.do("update trioworker.worker set lost_at = now() where lost_at is null")
    assert deaths == LAST_CHANCE + 1
    assert rig.statuses() == {"success": INNOCENT, "failure": 1}
    assert rig.query(
        "select id, error ->> 'name', reaped from trioworker.job_completed where status = 'failure'"
    ) == [(deadly, "WorkerLost", deaths)]


@pytest.mark.parametrize("mode", [Mode.AGENT_BATCH, Mode.WORKER])
async def test_nothing_is_pulled_beside_a_last_chance(rig: Rig, mode: Mode) -> None:
    """Until its outcome is stored, however many slots are free; then the next are pulled."""
    first, *others = await rig.enqueue(3)
    put_on_last_chance(rig, first)
    gate = Gate(first)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(at_work(rig, gate, mode=mode))
        await until(lambda: gate.began)
        await some_heartbeats_later(rig)
        assert claimed(rig) == [[first]]
        assert rig.counts()["ready"] == len(others)
        gate.open()
    assert rig.statuses() == {"success": 3}
    batches = mode is Mode.AGENT_BATCH
    assert claimed(rig) == [[first], *([others] if batches else [[job] for job in others])]


async def test_what_runs_already_goes_on_beside_a_last_chance(rig: Rig) -> None:
    """A long job does not keep one on its last chance from being run, nor is it stopped."""
    (long,) = await rig.enqueue(1)
    gate, stop = Gate(long), Stop()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(at_work(rig, gate, stop))
        await until(lambda: gate.began)
        (last,) = await rig.enqueue(1, tag="elsewhere")
        put_on_last_chance(rig, last)
        rig.do("update trioworker.ready set tag = 'default'")
        await until(lambda: rig.counts()["completed"] == 1)
        assert gate.began == {long, last}
        gate.open()
        await until(lambda: rig.counts()["completed"] == 2)
        stop.ask()
    assert rig.statuses() == {"success": 2}


async def test_many_last_chances_are_drained_by_all(rig: Rig) -> None:
    """Each worker takes one at a time, and what comes after them is reached."""
    ids = await rig.enqueue(40)
    put_on_last_chance(rig, *ids[:30])
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(at_work(rig, Gate()))
    assert rig.statuses() == {"success": 40}
    assert all(len(jobs) == 1 or set(jobs) <= set(ids[30:]) for jobs in claimed(rig))


async def test_a_stop_gives_a_last_chance_back(rig: Rig) -> None:
    """A worker that is stopped while it runs one alone ends in time, and charges it nothing."""
    first, second = await rig.enqueue(2)
    put_on_last_chance(rig, first)
    gate, stop = Gate(first), Stop()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(at_work(rig, gate, stop, grace_s=0.0))
        await until(lambda: gate.began)
        stop.ask()
    assert claimed(rig) == [[first]]
    assert rig.query("select id, attempt, reaped from trioworker.ready order by id") == [
        (first, 1, LAST_CHANCE),
        (second, 1, 0),
    ]


async def test_an_adopted_last_chance_is_alone_as_well(
    database_url: str, short_folder: Path
) -> None:
    """When the reply to its pull was lost, nothing is pulled beside it either."""
    async with (
        line_cutter(database_url, short_folder) as (url, cutter),
        open_rig(url) as rig,
    ):
        rig.url = database_url
        first, last, third = await rig.enqueue(3)
        put_on_last_chance(rig, last)
        gate = Gate(last)

        async def body(job: Job) -> Outcome:
            if job.id == first:
                cutter.cut_next_reply("pull")
            return await gate.body(job)

        runner = CountingRunner(body)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                lambda: rig.work(runner=runner, poll_s=0.01, heartbeat_s=0.01, lease_s=LEASE_S)
            )
            await until(lambda: last in gate.began)
            await some_heartbeats_later(rig)
            assert [list(event.jobs) for event in rig.said(BatchAdopted)] == [[last]]
            assert claimed(rig) == [[first]]
            gate.open()
        assert claimed(rig) == [[first], [third]]
        assert rig.statuses() == {"success": 3}
