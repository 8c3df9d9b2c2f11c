"""Limits with real workers: never too many run, and nobody waits for a slot that is free."""

import signal
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from uuid import UUID

import trio

from tests.worker.harness import CountingRunner, Rig, program, until
from tests.worker.program import LIMITED
from trioworker.ids import new_id
from trioworker.model.job import Job, NewJob
from trioworker.model.options import JobOptions, Limit
from trioworker.model.outcome import JobError, Outcome, Retried, Succeeded
from trioworker.store.postgres.database import Lane, open_database
from trioworker.store.postgres.jobs import CLIENT, PostgresJobs
from trioworker.worker.supervisor import Stop

LEASE_S = 2.0
NEVER_S = 3600.0


async def enqueue(
    rig: Rig, count: int, limit: Limit, *, path: str = "test", delay_s: float = 0.0
) -> Sequence[UUID]:
    """Enqueue jobs with a limit as a client does."""
    async with open_database(rig.url, (Lane(CLIENT),), emit=rig.events.append) as database:
        jobs = PostgresJobs(database)
        due = await jobs.now()
        new = [
            NewJob(
                id=new_id(),
                kind="function",
                path=path,
                args=b"{}",
                options=JobOptions(limit=limit),
                scheduled_for=due + timedelta(seconds=delay_s),
            )
            for _ in range(count)
        ]
        await jobs.enqueue(new)
    return [job.id for job in new]


def completed(rig: Rig, count: int) -> bool:
    """Whether as many jobs have ended."""
    return rig.counts()["completed"] == count


async def test_no_key_runs_more_jobs_than_its_limit(rig: Rig) -> None:
    """Three workers, one killed, one stopped, each replaced: every job counts those of its key."""
    rig.do("create table seen (key text, running integer)")
    await enqueue(rig, 60, Limit(1, "one"), path=LIMITED)
    await enqueue(rig, 200, Limit(3, "three"), path=LIMITED)
    async with AsyncExitStack() as stack:

        async def worker() -> trio.Process:
            return await stack.enter_async_context(program(rig, job_s=0.02, lease_s=LEASE_S))

        first, second, _third = [await worker() for _ in range(3)]
        await until(lambda: rig.counts()["completed"] > 20)
        first.send_signal(signal.SIGKILL)
        await worker()
        await until(lambda: rig.counts()["completed"] > 60)
        second.terminate()
        await second.wait()
        await worker()
        await until(lambda: completed(rig, 260), within_s=60)
    peaks = rig.query("select key, max(running) from seen group by key order by key")
    assert peaks == [("one", 1), ("three", 3)]
    assert rig.query("select * from trioworker.slot") == []


async def test_a_drain_empties_the_line(rig: Rig) -> None:
    """Jobs that wait for a slot are part of the queue, per job and in batches."""
    ids = await enqueue(rig, 7, Limit(2, "k"))
    await rig.work()
    assert rig.runner.executions == dict.fromkeys(ids, 1)


async def test_time_alone_lets_in_what_becomes_due(rig: Rig) -> None:
    """A job of the future, a second try and a passed window need no sweep."""
    done: list[UUID] = []

    async def body(job: Job) -> Outcome:
        done.append(job.id)
        if job.attempt == 1:
            return Retried(JobError("Again", "please"), 0.1)
        return Succeeded(b"1")

    stop = Stop()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            lambda: rig.work(stop=stop, runner=CountingRunner(body), sweep_s=NEVER_S)
        )
        await until(lambda: rig.query("select 1 from trioworker.worker"))
        (later,) = await enqueue(rig, 1, Limit(1, "k", 0.2), delay_s=0.3)
        (first,) = await enqueue(rig, 1, Limit(1, "k", 0.2))
        await until(lambda: completed(rig, 2))
        stop.ask()
    assert sorted(done) == sorted([first, first, later, later])


async def test_sql_in_a_callers_transaction_is_found_without_a_sweep(rig: Rig) -> None:
    """The hint of the enqueue leads to a look."""
    options = '{"limit": {"slots": 1, "key": "k"}}'
    stop = Stop()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: rig.work(stop=stop, sweep_s=NEVER_S))
        await until(lambda: rig.query("select 1 from trioworker.worker"))
        await until(
            lambda: rig.query(
                "select from pg_stat_activity where application_name = 'trioworker listen'"
                " and datname = current_database() and query ~* 'listen.*done'"
            )
        )
        rig.do(
            "select trioworker.enqueue('test', options => %s) from generate_series(1, 3)", options
        )
        await until(lambda: completed(rig, 3))
        stop.ask()
