"""Leases under real kills, pauses and outages: no job lost, none stored twice."""

import signal
import time
from pathlib import Path

import psutil
import psycopg
import trio

from tests.database_fixtures import private_server
from tests.worker.harness import CountingRunner, Rig, open_rig, program, read_until, until
from tests.worker.line_cutter import line_cutter
from trioworker.events import (
    BatchAdopted,
    BatchStored,
    JobEnded,
    JobsReaped,
    JobStarted,
    LeaseDoubtful,
    LeaseTaken,
)
from trioworker.model.job import Job
from trioworker.model.outcome import Outcome, Snoozed, Succeeded
from trioworker.worker.supervisor import Stop

LEASE_S = 2.0


async def test_jobs_of_a_killed_worker_are_finished_by_another(rig: Rig) -> None:
    """Kill -9 with 100 claimed jobs: another worker has them within lease and sweep."""
    ids = await rig.enqueue(100)
    async with program(rig, job_s=3600, lease_s=LEASE_S) as victim:
        await until(lambda: rig.counts()["claimed"] == 100)
        victim.send_signal(signal.SIGKILL)
        await victim.wait()
        killed_at = time.monotonic()
        stop = Stop()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: rig.work(stop=stop, sweep_s=LEASE_S / 4))
            await until(lambda: rig.counts()["completed"] == 100)
            stop.ask()
    assert time.monotonic() - killed_at < LEASE_S * 2 + 5
    assert rig.runner.executions == dict.fromkeys(ids, 1)
    assert rig.query("select distinct attempt, reaped from trioworker.job_completed") == [(2, 1)]


async def test_a_paused_worker_stores_nothing_after_its_lease(rig: Rig) -> None:
    """SIGSTOP past the lease, SIGCONT: its late results are dropped; it comes back as another."""
    await rig.enqueue(100)
    async with program(rig, job_s=1.0, lease_s=LEASE_S) as sleeper:
        await read_until(sleeper, "started")
        await until(lambda: rig.counts()["claimed"] == 100)
        sleeper.send_signal(signal.SIGSTOP)
        stop = Stop()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: rig.work(stop=stop, sweep_s=LEASE_S / 4))
            await until(lambda: rig.counts()["completed"] == 100)
            sleeper.send_signal(signal.SIGCONT)
            said = await read_until(sleeper, "started")
            stop.ask()
        assert "lost" in said
        results = rig.query("select distinct result::text from trioworker.job_completed")
        assert results == [('"done"',)]
        assert len(rig.query("select 1 from trioworker.worker where lost_at is null")) == 2
        await rig.enqueue(10)
        await until(lambda: rig.counts()["completed"] == 110)
        sleeper.terminate()
        assert await sleeper.wait() == 0


async def test_a_job_that_kills_its_workers_is_given_up(rig: Rig) -> None:
    """After too many lost workers a job ends as a failure that says so."""
    await rig.enqueue(1)
    rig.do("update trioworker.ready set reaped = 3, attempt = 4")
    async with program(rig, job_s=3600, lease_s=LEASE_S) as victim:
        await until(lambda: rig.counts()["claimed"] == 1)
        victim.kill()
        await victim.wait()
        stop = Stop()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: rig.work(stop=stop, sweep_s=0.2))
            await until(lambda: rig.said(JobsReaped))
            stop.ask()
    assert rig.statuses() == {"failure": 1}
    assert rig.errors()[0]["name"] == "WorkerLost"


async def test_a_job_that_a_crash_handed_out_twice_counts_once(rig: Rig) -> None:
    """Its two executions end at the same time, one asking for another time and one with success."""
    release = trio.Event()
    executions: list[Job] = []

    async def body(job: Job) -> Outcome:
        executions.append(job)
        first = len(executions) == 1
        await release.wait()
        return Snoozed(3600.0) if first else Succeeded(b'"done"')

    await rig.enqueue(1)
    stop = Stop()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: rig.work(stop=stop, runner=CountingRunner(body)))
        await until(lambda: len(executions) == 1)
        # What a crash does to a pull that had not waited for the disk.
        rig.do(
            """
            with gone as (delete from trioworker.claim returning ids)
            insert into trioworker.ready (id, tag, priority, scheduled_for)
            select ids[1], 'default', 0, now()
            from gone
            """
        )
        await until(lambda: len(executions) == 2)
        release.set()
        await until(lambda: sum(len(stored.jobs) for stored in rig.said(BatchStored)) == 2)
        stop.ask()
    assert sum(rig.counts().values()) == 1
    assert [len(stored.jobs) for stored in rig.said(BatchStored)] == [1, 1]


async def test_a_sweep_that_waits_does_not_hold_up_the_heartbeat(rig: Rig) -> None:
    """A worker whose sweeps meet a locked table from the start goes on renewing its lease."""
    stop = Stop()
    with psycopg.connect(rig.url) as locker:
        locker.execute("lock table trioworker.cancel_request in exclusive mode")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                lambda: rig.work(
                    stop=stop,
                    sweep_s=0.1,
                    heartbeat_s=0.1,
                    lease_s=LEASE_S,
                    grace_s=0.1,
                    flush_s=0.1,
                )
            )
            await until(lambda: len(rig.statements("heartbeat")) > 20)
            assert len(rig.statements("reap")) == 1
            stop.ask()
    assert rig.said(LeaseDoubtful) == []


async def test_a_worker_that_cannot_renew_stops_what_runs(rig: Rig) -> None:
    """Before the lease ends the worker fences itself; what ran goes back and is run again."""
    hanging = True

    async def body(_job: Job) -> Outcome:
        if hanging:
            await trio.sleep_forever()
        return Succeeded(b'"done"')

    await rig.enqueue(3)
    stop = Stop()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            lambda: rig.work(
                stop=stop, runner=CountingRunner(body), lease_s=LEASE_S, heartbeat_s=0.2
            )
        )
        await until(lambda: rig.counts()["claimed"] == 3)
        with psycopg.connect(rig.url) as locker:
            locker.execute("select 1 from trioworker.worker for update")
            await until(lambda: rig.said(LeaseDoubtful))
            assert rig.said(LeaseDoubtful)[0].silent_s < LEASE_S
            await until(lambda: rig.counts()["ready"] == 3)
            hanging = False
        await until(lambda: rig.counts()["completed"] == 3)
        stop.ask()
    assert rig.said(LeaseTaken) == []
    assert rig.query("select distinct attempt, reaped from trioworker.job_completed") == [(1, 0)]


async def test_a_pull_whose_reply_is_lost_is_adopted(database_url: str, short_folder: Path) -> None:
    """The claim was made and nobody heard of it: the worker itself finds it again."""
    async with (
        line_cutter(database_url, short_folder) as (url, cutter),
        open_rig(url) as rig,
    ):
        rig.url = database_url
        ids = await rig.enqueue(60)

        async def body(_job: Job) -> Outcome:
            if not cutter.cuts:
                cutter.cut_next_reply("pull")
            return Succeeded(b"1")

        runner = CountingRunner(body)
        await rig.work(runner=runner, pull=20)
        assert cutter.cuts == 1
        assert [len(event.jobs) for event in rig.said(BatchAdopted)] == [20]
        assert rig.statuses() == {"success": 60}
        assert runner.executions == dict.fromkeys(ids, 1)


async def test_the_server_is_away_for_twenty_seconds() -> None:
    """PostgreSQL stopped under load and started again: none lost, none twice, memory flat."""
    async with private_server() as server, open_rig(server.url) as rig:
        ids = await rig.enqueue(20_000)

        async def body(_job: Job) -> Outcome:
            await trio.sleep(0.01)
            return Succeeded(b'"fine"')

        runner = CountingRunner(body)
        stop = Stop()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: rig.work(stop=stop, runner=runner))
            await until(lambda: rig.counts()["completed"] > 500)
            await server.stop(signal.SIGINT)
            executed = runner.executions.total()
            memory = psutil.Process().memory_info().rss
            await trio.sleep(20)
            assert psutil.Process().memory_info().rss - memory < 16 * 1024 * 1024
            assert runner.executions.total() - executed <= 100 + 100 + 100
            await server.start()
            await until(lambda: rig.counts()["completed"] == 20_000, within_s=60)
            stop.ask()
        assert runner.executions == dict.fromkeys(ids, 1)
        assert rig.statuses() == {"success": 20_000}
        assert rig.said(LeaseDoubtful) == []


async def test_a_worker_that_cannot_renew_begins_nothing(rig: Rig) -> None:
    """What waits in its hands stays there until the lease is renewed, and is run then."""
    hanging = True

    async def body(_job: Job) -> Outcome:
        if hanging and rig.said(JobEnded):
            await trio.sleep_forever()
        return Succeeded(b'"done"')

    await rig.enqueue(5)
    stop = Stop()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            lambda: rig.work(
                stop=stop,
                runner=CountingRunner(body),
                concurrency=1,
                lease_s=LEASE_S,
                heartbeat_s=0.2,
            )
        )
        await until(
            lambda: rig.counts() == {"ready": 0, "waiting": 0, "claimed": 4, "completed": 1}
        )
        with psycopg.connect(rig.url) as locker:
            locker.execute("select 1 from trioworker.worker for update")
            await until(lambda: rig.said(LeaseDoubtful))
            begun = len(rig.said(JobStarted))
            await until(lambda: rig.counts()["ready"] == 1)
            hanging = False
            assert len(rig.said(JobStarted)) == begun == 2
        await until(lambda: rig.counts()["completed"] == 5)
        stop.ask()
    assert rig.said(LeaseTaken) == []
