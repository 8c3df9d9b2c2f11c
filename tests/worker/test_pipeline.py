"""The pipeline on a real PostgreSQL: batches end to end, and the strict gating."""

import pytest
import trio

from tests.worker.harness import CountingRunner, Rig, until
from trioworker.events import BatchPulled, BatchStored, JobEnded, JobStarted, WorkerStarted
from trioworker.model.batching import BatchPolicy, Mode
from trioworker.model.job import Job
from trioworker.model.outcome import (
    Cancelled,
    Failed,
    JobError,
    Outcome,
    Retried,
    Snoozed,
    Succeeded,
)
from trioworker.model.tags import Tags
from trioworker.worker.supervisor import Stop


async def test_a_thousand_jobs_are_drained_in_batches(rig: Rig) -> None:
    """Every job runs once, every result is stored, and few transactions did it."""
    ids = await rig.enqueue(1000)
    report = await rig.work()
    assert report.unsaved == []
    assert rig.counts() == {"ready": 0, "waiting": 0, "claimed": 0, "completed": 1000}
    assert rig.runner.executions == dict.fromkeys(ids, 1)
    assert rig.statuses() == {"success": 1000}
    assert len(rig.said(BatchStored)) < 100


@pytest.mark.parametrize("mode", list(Mode))
async def test_only_agent_batch_sends_batch_statements(rig: Rig, mode: Mode) -> None:
    """The same 200 jobs in every mode: outside agent-batch no statement carries two jobs."""
    await rig.enqueue(200)
    await rig.work(mode=mode)
    assert rig.statuses() == {"success": 200}
    largest_pull = max(statement.jobs for statement in rig.statements("pull"))
    largest_commit = max(statement.jobs for statement in rig.statements("commit"))
    assert sum(statement.rows for statement in rig.statements("pull")) == 200
    if mode is Mode.AGENT_BATCH:
        assert largest_pull > 1
        assert largest_commit > 1
    else:
        assert (largest_pull, largest_commit) == (1, 1)
        assert len(rig.statements("commit")) == 200


async def test_every_outcome_finds_its_place(rig: Rig) -> None:
    """One batch with every sort of outcome: finished, failed, cancelled, and back to ready."""
    bodies: dict[str, Outcome] = {
        "ok": Succeeded(b'{"a": 1}'),
        "bad": Failed(JobError("ValueError", "no \x00 good")),
        "cancel": Cancelled("enough"),
        "retry": Retried(JobError("OSError", "later"), 3600.0),
        "snooze": Snoozed(3600.0),
    }

    async def body(job: Job) -> Outcome:
        return bodies[job.path]

    for path in bodies:
        await rig.enqueue(2, path=path)
    await rig.work(runner=CountingRunner(body))
    assert rig.statuses() == {"success": 2, "failure": 2, "canceled": 2}
    assert rig.counts()["ready"] == 4
    attempts = rig.query(
        "select job.path, ready.attempt from trioworker.ready join trioworker.job using (id)"
    )
    assert sorted(attempts) == [("retry", 2), ("retry", 2), ("snooze", 1), ("snooze", 1)]
    assert rig.errors()[0]["message"] == "no \ufffd good"


async def test_simple_policy_commits_the_rest_one_by_one(rig: Rig) -> None:
    """Under the simple policy failures travel alone while successes share a transaction."""

    async def body(job: Job) -> Outcome:
        return Failed(JobError("E", "x")) if job.path == "bad" else Succeeded(b"1")

    await rig.enqueue(50, path="good")
    await rig.enqueue(10, path="bad")
    await rig.work(runner=CountingRunner(body), policy=BatchPolicy.SIMPLE)
    alone = [event for event in rig.said(BatchStored) if event.failed]
    assert len(alone) == 10
    assert all(event.stored == 1 for event in alone)
    assert rig.statuses() == {"success": 50, "failure": 10}


async def test_slow_jobs_are_not_hoarded(rig: Rig) -> None:
    """A worker that is busy for long leaves what it cannot start to others."""
    release = trio.Event()

    async def body(_job: Job) -> Outcome:
        await release.wait()
        return Succeeded(b"1")

    await rig.enqueue(100)
    stop = Stop()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            lambda: rig.work(stop=stop, runner=CountingRunner(body), concurrency=4, pull=100)
        )
        await until(lambda: rig.counts()["claimed"] >= 4)
        await trio.sleep(0.3)
        assert rig.counts()["claimed"] == 4
        stop.ask()
        release.set()
    assert rig.counts() == {"ready": 96, "waiting": 0, "claimed": 0, "completed": 4}


@pytest.mark.parametrize("pull", [1, 3])
async def test_pulls_that_are_smaller_than_the_slots_fill_them_all(rig: Rig, pull: int) -> None:
    """A free slot gets a job although none of those before it has ended: also one job a pull."""
    release = trio.Event()

    async def body(_job: Job) -> Outcome:
        await release.wait()
        return Succeeded(b"1")

    await rig.enqueue(20)
    stop = Stop()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            lambda: rig.work(stop=stop, runner=CountingRunner(body), concurrency=8, pull=pull)
        )
        await until(lambda: len(rig.said(JobStarted)) == 8)
        stop.ask()
        release.set()
    assert rig.counts()["completed"] == 8


async def test_a_worker_that_has_seen_no_job_end_asks_for_no_more_than_its_slots(rig: Rig) -> None:
    """Jobs that have just begun are no sign that jobs are short."""
    release = trio.Event()

    async def body(_job: Job) -> Outcome:
        await release.wait()
        return Succeeded(b"1")

    await rig.enqueue(2)
    stop = Stop()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            lambda: rig.work(stop=stop, runner=CountingRunner(body), concurrency=4, pull=100)
        )
        await until(lambda: rig.counts()["claimed"] == 2)
        await rig.enqueue(100)
        await until(lambda: rig.counts()["claimed"] > 2)
        stop.ask()
        release.set()
    assert [pulled.asked for pulled in rig.said(BatchPulled)] == [4, 2]


async def test_a_hint_wakes_an_idle_worker(rig: Rig) -> None:
    """An idle worker that polls once a minute still starts a new job at once."""
    stop = Stop()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: rig.work(stop=stop, poll_s=60.0))
        await until(lambda: len(rig.statements("pull")) > 10)
        (job,) = await rig.enqueue(1)
        await rig.database.run("control", "notify_ready", ["default"])
        await until(lambda: rig.said(JobEnded), within_s=5)
        stop.ask()
    assert rig.said(JobEnded)[0].job == job


async def test_a_job_that_nobody_hints_at_is_found_all_the_same(rig: Rig) -> None:
    """An idle worker looks by itself, as often as it polls; a hint may get lost."""
    stop = Stop()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: rig.work(stop=stop, poll_s=0.2))
        await until(lambda: len(rig.statements("pull")) > 10)
        (job,) = await rig.enqueue(1)
        await until(lambda: rig.said(JobEnded))
        stop.ask()
    assert rig.said(JobEnded)[0].job == job
    assert rig.statements("notify_ready") == []


async def test_a_scheduled_job_wakes_an_idle_worker(rig: Rig) -> None:
    """The next due time cuts the pause between polls short."""
    stop = Stop()
    await rig.enqueue(1)
    rig.do("update trioworker.ready set scheduled_for = now() + interval '1 second'")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: rig.work(stop=stop, poll_s=60.0))
        await until(lambda: rig.said(JobEnded), within_s=10)
        stop.ask()
    assert rig.statuses() == {"success": 1}


async def test_timeout_ends_a_job_and_only_that(rig: Rig) -> None:
    """A job past its timeout fails by name; its neighbours succeed."""

    async def body(job: Job) -> Outcome:
        if job.path == "hang":
            await trio.sleep_forever()
        return Succeeded(b"1")

    await rig.enqueue(1, path="hang", options='{"timeout_s": 0.1}')
    await rig.enqueue(5, path="quick")
    await rig.work(runner=CountingRunner(body))
    assert rig.statuses() == {"success": 5, "failure": 1}
    assert rig.errors()[0]["name"] == "Timeout"


async def test_broken_definitions_fail_alone(rig: Rig) -> None:
    """A job whose stored options nobody can read fails with the reason; the batch goes on."""
    await rig.enqueue(1, options='{"from_the_future": 1}')
    await rig.enqueue(5)
    await rig.work()
    assert rig.statuses() == {"success": 5, "failure": 1}
    assert "from_the_future" in rig.errors()[0]["message"]


async def test_cancel_reaches_a_running_job(rig: Rig) -> None:
    """A request to cancel a running job ends it as canceled, at once when the worker listens."""

    async def body(_job: Job) -> Outcome:
        await trio.sleep_forever()
        raise AssertionError

    (job,) = await rig.enqueue(1)
    stop = Stop()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: rig.work(stop=stop, runner=CountingRunner(body)))
        await until(lambda: rig.counts()["claimed"] == 1)
        await rig.database.run("control", "request_cancel", [job], "not needed any more")
        await until(lambda: rig.statuses() == {"canceled": 1}, within_s=4)
        stop.ask()
    assert rig.errors()[0]["message"] == "not needed any more"


@pytest.mark.parametrize("mode", list(Mode))
async def test_a_worker_starts_what_it_ranks_higher_first(rig: Rig, mode: Mode) -> None:
    """In batches and one by one; a script's own tag may have a rank like any other."""
    bulk = await rig.enqueue(2, priority=9)
    own = await rig.enqueue(2, tag="dedicated:a=b.py")
    urgent = await rig.enqueue(2, tag="urgent", priority=-9)
    tags = Tags(("default", "urgent", "dedicated:a=b.py"), (0, 10, 5))
    await rig.work(mode=mode, tags=tags, concurrency=1)
    assert [event.job for event in rig.said(JobStarted)] == [*urgent, *own, *bulk]
    (started,) = rig.said(WorkerStarted)
    assert started.tags == ["default", "urgent=10", "dedicated:a=b.py=5"]
