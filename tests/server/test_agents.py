"""Agents on a real server: the same worker, the same results, and no way to more than its own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import pytest
import trio

from tests.server.agents import Server
from tests.worker.harness import Rig, until
from trioworker.events import BatchStored, StatementRun
from trioworker.model.batching import Mode
from trioworker.model.job import Job
from trioworker.model.outcome import (
    Cancelled,
    Failed,
    JobError,
    Outcome,
    Retried,
    Succeeded,
)
from trioworker.model.tags import unranked
from trioworker.model.user_statement import user_statement
from trioworker.runners.joblog import JobLog
from trioworker.worker.supervisor import Stop


@pytest.mark.parametrize("mode", [Mode.AGENT_BATCH, Mode.AGENT])
async def test_an_agent_drains_the_queue(server: Server, rig: Rig, mode: Mode) -> None:
    """Each job is run once; in batches, or one at a time and never more."""
    jobs = await rig.enqueue(50)
    async with server.store(batches=mode.batches) as store:
        await rig.work(store=store, mode=mode)
    assert rig.counts() == {"ready": 0, "waiting": 0, "claimed": 0, "completed": 50}
    assert rig.runner.executions == dict.fromkeys(jobs, 1)
    most = max(event.jobs for event in server.events if isinstance(event, StatementRun))
    assert (most > 1) == mode.batches


async def test_a_worker_is_known_by_its_token(server: Server, rig: Rig) -> None:
    """Its tags are those of the token, whatever it is called or thinks it takes."""
    await rig.enqueue(2, tag="mine")
    await rig.enqueue(3, tag="others")
    async with server.store(await server.token("mine")) as store:
        await rig.work(store=store, tags=unranked("others", "mine"))
    assert rig.counts()["ready"] == 3
    assert rig.query("select tags from trioworker.worker") == [(["mine"],)]


async def test_a_token_ranks_its_tags(server: Server, rig: Rig) -> None:
    """Jobs of the highest rank are handed out first, whatever their priority."""
    for tag, priority in (("bulk", 100), ("default", 0), ("urgent", -100)):
        await rig.enqueue(2, tag=tag, path=tag, priority=priority)
    ran: list[str] = []

    async def body(job: Job) -> Outcome:
        ran.append(job.path)
        return Succeeded(b"null")

    rig.runner.body = body
    token = await server.token("default", "bulk", "urgent", ranks=(0, -1, 1))
    async with server.store(token, batches=False) as store:
        await rig.work(store=store, mode=Mode.AGENT, concurrency=1)
    assert ran == ["urgent", "urgent", "default", "default", "bulk", "bulk"]
    assert rig.query("select tags, ranks from trioworker.worker") == [
        (["default", "bulk", "urgent"], [0, -1, 1])
    ]


async def test_every_kind_of_end_is_stored(server: Server, rig: Rig) -> None:
    """What an outcome says arrives as the outcome of a worker with a database would."""
    ends: dict[str, Outcome] = {
        "success": Succeeded(b'{"a": [1, null, "\\u00e4"]}'),
        "failure": Failed(JobError("ValueError", "no \u00e4", "Traceback …")),
        "canceled": Cancelled("by itself"),
    }
    for path in ends:
        await rig.enqueue(1, path=path)

    async def body(job: Job) -> Outcome:
        return ends[job.path]

    rig.runner.body = body
    async with server.store() as store:
        await rig.work(store=store)
    rows = rig.query(
        "select job.path, status, result::text, error ->> 'message' from trioworker.job_completed"
        " join trioworker.job using (id) order by 1"
    )
    assert rows == [
        ("canceled", "canceled", None, "by itself"),
        ("failure", "failure", None, "no \u00e4"),
        ("success", "success", '{"a": [1, null, "ä"]}', None),
    ]


async def test_effects_follow_as_ever(server: Server, rig: Rig) -> None:
    """They are decided at the server, which knows the job; the agent does not send it back."""
    options = '{"labels": ["kept"], "on_success": {"path": "told"}, "delete_after_s": 60}'
    await rig.enqueue(3, options=options)
    async with server.store() as store:
        await rig.work(store=store, pull=3)
    assert rig.query("select label, count(*) from trioworker.job_label group by 1") == [("kept", 3)]
    assert rig.query("select count(*) from trioworker.job where path = 'told'") == [(3,)]
    assert rig.query("select count(*) from trioworker.expiry") == [(3,)]


async def test_one_refused_outcome_costs_no_other_its_own(server: Server, rig: Rig) -> None:
    """The batch falls back to commits of one, over HTTP as well."""
    await rig.enqueue(9)
    [poison] = await rig.enqueue(1, path="poison")

    async def body(job: Job) -> Outcome:
        return Succeeded(b'"\\u0000"' if job.id == poison else b"1")

    rig.runner.body = body
    async with server.store() as store:
        await rig.work(store=store)
    assert rig.statuses() == {"success": 9, "failure": 1}
    assert sum(e.stored for e in rig.events if isinstance(e, BatchStored)) == 10


async def test_words_that_cannot_be_sent_are_not_the_jobs_fault(server: Server, rig: Rig) -> None:
    """A failure keeps its name, and its further attempts, whatever its message is made of."""
    ids = await rig.enqueue(3)
    half = JobError("Half", "of a character: \ud83d, and a NUL: \x00")
    ends: dict[UUID, Outcome] = dict(
        zip(ids, (Failed(half), Retried(half, 0.0), Cancelled("\ud83d")), strict=True)
    )

    async def body(job: Job) -> Outcome:
        return Succeeded(b"1") if job.attempt > 1 else ends[job.id]

    rig.runner.body = body
    async with server.store() as store:
        await rig.work(store=store)
    assert rig.statuses() == {"success": 1, "failure": 1, "canceled": 1}
    assert sorted(error["name"] for error in rig.errors()) == ["Cancelled", "Half"]


async def test_a_job_on_an_agent_hands_over_no_sql(server: Server, rig: Rig) -> None:
    """Whoever runs an agent is no user of the database: the job fails, and says so."""
    await rig.enqueue(1)

    async def body(_job: Job) -> Outcome:
        return Succeeded(b"1", (user_statement("delete from trioworker.job", ()),))

    rig.runner.body = body
    async with server.store() as store:
        await rig.work(store=store)
    assert [error["name"] for error in rig.errors()] == ["NotAllowed"]
    assert rig.query("select count(*) from trioworker.job") == [(1,)]


async def test_lines_of_running_jobs_are_stored_meanwhile(server: Server, rig: Rig) -> None:
    """As those of a worker with a database are."""
    [job] = await rig.enqueue(1)
    stop = Stop()

    class Saying:
        run_now = None

        def retry_of(self, _job: Job) -> None:
            return None

        @asynccontextmanager
        async def open(self) -> AsyncIterator[None]:
            yield

        async def run(self, _job: Job, log: JobLog) -> Outcome:
            log.write("on my way\n")
            await trio.sleep_forever()
            raise AssertionError

    async with server.store() as store, trio.open_nursery() as nursery:
        nursery.start_soon(
            lambda: rig.work(
                store=store,
                runner=Saying(),
                stop=stop,
                log_flush_s=0.05,
                grace_s=0.0,
            )
        )
        await until(lambda: rig.query("select text from trioworker.job_log") == [("on my way\n",)])
        stop.ask()
    assert rig.query("select id from trioworker.ready") == [(job,)]
