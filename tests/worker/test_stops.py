"""Stops: what has run is stored, the rest is given back, and no deadline is missed."""

import psycopg
import trio

from tests.worker.harness import CountingRunner, Rig, program, until
from trioworker.errors import ConnectionLost
from trioworker.events import (
    JobEnded,
    LeaseTaken,
)
from trioworker.model.job import Job
from trioworker.model.outcome import Outcome, Succeeded
from trioworker.store.postgres.store import PostgresStore
from trioworker.store.protocol import WorkerInfo
from trioworker.worker.supervisor import Report, Stop


async def test_sigterm_under_load_leaves_nothing_claimed(rig: Rig) -> None:
    """SIGTERM while jobs run and wait: exit 0, everything stored or given back."""
    await rig.enqueue(2000)
    async with program(rig, job_s=0.2, lease_s=2.0) as process:
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
