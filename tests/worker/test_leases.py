"""Leases under real kills, pauses and outages: no job lost, none stored twice."""

import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import psycopg
import pytest
import trio

from tests.database_fixtures import private_server
from tests.worker.harness import CountingRunner, Rig, open_rig, until
from tests.worker.line_cutter import line_cutter
from trioworker.errors import ConnectionLost
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
from trioworker.store.postgres.store import PostgresStore
from trioworker.store.protocol import WorkerInfo
from trioworker.worker.supervisor import Report, Stop

LEASE_S = 2.0


@pytest.fixture
async def rig(empty_database_url: str) -> AsyncIterator[Rig]:
    """A database of its own for each test, with a table that remembers executions."""
    async with open_rig(empty_database_url) as made:
        made.do("create table executed (id uuid, pid integer)")
        yield made


@asynccontextmanager
async def program(rig: Rig, job_s: float) -> AsyncIterator[trio.Process]:
    """A worker process that sleeps `job_s` seconds per job."""
    process = await trio.lowlevel.open_process(
        [sys.executable, "-m", "tests.worker.program", rig.url, str(job_s), str(LEASE_S)],
        stdout=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


async def read_until(process: trio.Process, word: str) -> str:
    """What the process prints, up to `word`."""
    said = ""
    with trio.fail_after(30):
        while word not in said:
            assert process.stdout is not None
            said += (await process.stdout.receive_some()).decode()
    return said


async def test_jobs_of_a_killed_worker_are_finished_by_another(rig: Rig) -> None:
    """Kill -9 with 100 claimed jobs: another worker has them within lease and sweep."""
    ids = await rig.enqueue(100)
    async with program(rig, job_s=3600) as victim:
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
    async with program(rig, job_s=1.0) as sleeper:
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
    async with program(rig, job_s=3600) as victim:
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


async def test_sigterm_under_load_leaves_nothing_claimed(rig: Rig) -> None:
    """SIGTERM while jobs run and wait: exit 0, everything stored or given back."""
    await rig.enqueue(2000)
    async with program(rig, job_s=0.2) as process:
        await until(lambda: rig.counts()["completed"] > 100)
        process.terminate()
        assert await process.wait() == 0
    counts = rig.counts()
    assert counts["claimed"] == 0
    assert counts["ready"] + counts["completed"] == 2000
    assert counts["ready"] > 0
    assert rig.query("select max(attempt) from trioworker.ready") == [(1,)]
    executions = rig.query("select count(*), count(distinct id) from executed")[0]
    assert executions == (counts["completed"], counts["completed"])


async def test_what_runs_past_the_grace_is_interrupted(rig: Rig) -> None:
    """A stop waits for running jobs no longer than the grace, and charges them no attempt."""

    async def body(_job: Job) -> Outcome:
        await trio.sleep_forever()
        raise AssertionError

    await rig.enqueue(5)
    stop = Stop()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: rig.work(stop=stop, runner=CountingRunner(body), grace_s=0.2))
        await until(lambda: rig.counts()["claimed"] == 5)
        stop.ask()
    assert rig.counts() == {"ready": 5, "waiting": 0, "claimed": 0, "completed": 0}
    assert rig.query("select distinct attempt from trioworker.ready") == [(1,)]


async def test_what_cannot_be_given_back_in_time_is_named(rig: Rig) -> None:
    """A stop whose commits are blocked reports every job in its hands, also those never begun."""

    async def body(_job: Job) -> Outcome:
        if rig.said(JobEnded):
            await trio.sleep_forever()
        return Succeeded(b'"done"')

    await rig.enqueue(9)
    stop = Stop()
    reports: list[Report] = []

    async def run() -> None:
        runner = CountingRunner(body)
        report = await rig.work(
            stop=stop, runner=runner, concurrency=1, commit=1, grace_s=0.1, flush_s=0.5
        )
        reports.append(report)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        await until(
            lambda: rig.counts() == {"ready": 0, "waiting": 0, "claimed": 8, "completed": 1}
        )
        with psycopg.connect(rig.url) as locker:
            held = locker.execute("select unnest(ids) from trioworker.claim").fetchall()
            locker.execute("select 1 from trioworker.claim for update")
            stop.ask()
            await until(lambda: reports)
    assert sorted(reports[0].unsaved) == sorted(row[0] for row in held)


async def test_a_stop_does_not_wait_for_a_sweep(rig: Rig) -> None:
    """The first sweep of a worker that meets a locked table is cut off like everything else."""
    stop = Stop()
    with psycopg.connect(rig.url) as locker:
        locker.execute("lock table trioworker.cancel_request in exclusive mode")
        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(lambda: rig.work(stop=stop, grace_s=0.1, flush_s=0.1))
                await until(lambda: rig.statements("reap"))
                stop.ask()


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


async def test_a_stop_does_not_wait_for_a_store_that_is_away(rig: Rig) -> None:
    """A worker that has lost its lease, and cannot register again, still stops when asked."""

    class OnceStore(PostgresStore):
        tries = 0

        async def register(self, worker: WorkerInfo) -> None:
            self.tries += 1
            if self.tries > 1:
                raise ConnectionLost("away")
            await super().register(worker)

    store = OnceStore(rig.database, now_s=trio.current_time)
    stop = Stop()
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: rig.work(stop=stop, store=store, heartbeat_s=0.1))
            await until(lambda: rig.statements("heartbeat"))
            # In a thread: a heartbeat under way holds the row until this loop goes on.
            await trio.to_thread.run_sync(rig.do, "update trioworker.worker set lost_at = now()")
            await until(lambda: store.tries > 2)
            stop.ask()
    assert len(rig.said(LeaseTaken)) == 1


async def test_a_second_signal_stops_at_once(rig: Rig) -> None:
    """Asked twice, a worker ends without waiting; what it held is reaped by others."""

    async def body(_job: Job) -> Outcome:
        await trio.sleep_forever()
        raise AssertionError

    await rig.enqueue(5)
    stop = Stop()
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: rig.work(stop=stop, runner=CountingRunner(body)))
            await until(lambda: rig.counts()["claimed"] == 5)
            stop.ask()
            stop.ask()
    await rig.work()
    assert rig.counts()["completed"] == 5


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


async def test_a_pull_whose_reply_is_lost_is_adopted(
    empty_database_url: str, short_folder: Path
) -> None:
    """The claim was made and nobody heard of it: the worker itself finds it again."""
    async with (
        line_cutter(empty_database_url, short_folder) as (url, cutter),
        open_rig(url) as rig,
    ):
        rig.url = empty_database_url
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
