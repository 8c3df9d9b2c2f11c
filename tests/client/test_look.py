"""Looking at jobs, logs and workers: what a program or a person sees of the queue."""

from typing import Any, cast
from uuid import UUID

import pytest

from tests.client.harness import Held, do, happens, new_job, on_both, working
from trioworker import Client, RetryPolicy, TagCounts, UnknownJob, UsageError, new_id, open_client
from trioworker.events import Event, StatementRun
from trioworker.model.state import STATES, State
from trioworker.model.tags import Tags
from trioworker.store.postgres.database import Lane, open_database
from trioworker.store.postgres.jobs import CLIENT, PostgresJobs


async def ids(client: Client, **filters: Any) -> list[UUID]:  # noqa: ANN401 - those of jobs()
    """The ids of the jobs that fit."""
    return [job.id for job in await client.jobs(**filters)]


@on_both
async def test_a_job_shows_where_it_stands_and_what_became_of_it(database_url: str) -> None:
    """Ready, then running, then ended; what does not apply is None."""
    held = Held()
    async with open_client(database_url) as client:
        id_ = await client.enqueue("hold", awaited=True)
        ready = await client.job(id_)
        with working(database_url, held.app, name="shown"):
            await happens(held.begun)
            running = await client.job(id_)
            held.go.set()
            ended = await client.wait(id_)
            worker = (await client.workers())[0].id
    assert (ready.state, ready.attempt, ready.reaped) == ("ready", 1, 0)
    assert (ready.worker, ready.claimed_at, ready.started_at, ready.result) == (None,) * 4
    assert (running.state, running.worker, running.scheduled_for) == ("running", worker, None)
    assert running.claimed_at is not None
    assert running.claimed_at >= ready.created_at
    assert (ended.state, ended.worker, ended.result, ended.error) == (
        "success", worker, "let go", None,
    )  # fmt: skip
    assert ended.started_at is not None
    assert ended.completed_at is not None
    assert ended.duration_ms is not None
    assert ready.created_at <= ended.started_at <= ended.completed_at
    assert ended.claimed_at is None


@on_both
async def test_nobody_is_shown_a_job_that_does_not_exist(database_url: str) -> None:
    """Nor its logs."""
    unknown = new_id()
    async with open_client(database_url) as client:
        with pytest.raises(UnknownJob, match=f"there is no job {unknown}"):
            await client.job(unknown)
        with pytest.raises(UnknownJob, match=f"there is no job {unknown}"):
            await client.logs(unknown)
        with pytest.raises(UnknownJob, match=f"there is no job {unknown}"):
            await client.attempts(unknown)


@on_both
async def test_a_job_shows_the_attempts_that_came_before(database_url: str) -> None:
    """Those that failed and were followed by another, with their errors; not the last one."""
    held = Held()
    retry = RetryPolicy(attempts=3, delay_s=0.0)
    async with open_client(database_url) as client:
        id_ = await client.enqueue("fail", {"why": "no"}, retry=retry, awaited=True)
        assert await client.attempts(id_) == []
        with working(database_url, held.app):
            state = await client.wait(id_)
        first, second = await client.attempts(id_)
    assert (state.state, state.attempt) == ("failure", 3)
    assert state.error is not None
    assert state.error.message == "attempt 3 of 3: no"
    assert (first.attempt, first.error.name, first.error.message) == (1, "ValueError", "no")
    assert (second.attempt, second.worker) == (2, state.worker)
    assert first.started_at is not None
    assert second.started_at is not None
    assert first.started_at <= second.started_at


async def one_of_each(client: Client, url: str) -> dict[str, UUID]:
    """A job in every state that there is; the running one is in a dead worker's claim."""
    jobs = {state: await client.enqueue(f"is_{state}", tag="t") for state in STATES}
    do(url, "delete from trioworker.ready where id <> %s", jobs["ready"])
    do(
        url,
        "insert into trioworker.ready (id, tag, priority, scheduled_for)"
        " values (%s, 't', 0, now() + interval '1 hour')",
        jobs["scheduled"],
    )
    do(url, "insert into trioworker.waiting (id, reason) values (%s, 'test')", jobs["waiting"])
    do(
        url,
        "insert into trioworker.claim (id, worker, ids, attempts, reaped)"
        " values (gen_random_uuid(), gen_random_uuid(), array[%s::uuid], '{1}', '{0}')",
        jobs["running"],
    )
    for status in ("success", "failure", "canceled", "skipped"):
        do(
            url,
            "insert into trioworker.job_completed (id, status, attempt) values (%s, %s, 1)",
            jobs[status],
            status,
        )
    return jobs


@on_both
async def test_jobs_are_found_by_their_state(database_url: str) -> None:
    """Each state finds its own, and together they are all."""
    async with open_client(database_url) as client:
        jobs = await one_of_each(client, database_url)
        found = {state: await ids(client, state=state) for state in STATES if state != "nowhere"}
        everything = {job.id: job.state for job in await client.jobs()}
    assert found == {state: [job] for state, job in jobs.items() if state != "nowhere"}
    assert everything == {job: state for state, job in jobs.items()}


@on_both
async def test_jobs_are_found_by_tag_and_path_in_every_state(database_url: str) -> None:
    """Alone and together with the state."""
    async with open_client(database_url) as client:
        jobs = await one_of_each(client, database_url)
        other = await client.enqueue("is_ready", tag="u")
        assert await ids(client, tag="u") == [other]
        assert await ids(client, path="is_ready") == [other, jobs["ready"]]
        assert await ids(client, path="is_ready", tag="t") == [jobs["ready"]]
        for state in STATES[:4] + STATES[5:]:
            by = {"state": state, "tag": "t", "path": f"is_{state}"}
            assert await ids(client, **by) == [jobs[state]]
            assert await ids(client, **by | {"tag": "u"}) == [other] * (state == "ready")
            assert await ids(client, **by | {"path": "else"}) == []


@pytest.mark.parametrize("state", [None, "ready", "success", "failure"])
@on_both
async def test_pages_follow_one_another(database_url: str, state: State | None) -> None:
    """From the newest to the oldest, nothing twice and nothing left out."""
    jobs = [new_job() for _ in range(25)]
    async with open_client(database_url) as client:
        await client.enqueue_many(jobs)
        if state in {"success", "failure"}:
            do(database_url, "delete from trioworker.ready")
            do(
                database_url,
                "insert into trioworker.job_completed (id, status, attempt)"
                " select id, %s, 1 from trioworker.job",
                state,
            )
        pages = [await ids(client, state=state, limit=10)]
        while pages[-1]:
            pages.append(await ids(client, state=state, limit=10, before=pages[-1][-1]))
    assert [len(page) for page in pages] == [10, 10, 5, 0]
    assert [job for page in pages for job in page] == [job.id for job in reversed(jobs)]


@on_both
async def test_a_page_begins_at_any_id(database_url: str) -> None:
    """Even at one that no job has."""
    async with open_client(database_url) as client:
        old = await client.enqueue("greet")
        between = new_id()
        new = await client.enqueue("greet")
        assert await ids(client) == [new, old]
        assert await ids(client, before=between) == [old]


@on_both
async def test_what_cannot_be_looked_for_is_told(database_url: str) -> None:
    """Unknown states, limits out of bounds, and text that the database cannot read."""
    async with open_client(database_url) as client:
        with pytest.raises(UsageError, match=r"there is no state 'done'; one of ready, scheduled,"):
            await client.jobs(state=cast("Any", "done"))
        for limit in (0, -1, 10_001):
            line = f"a limit of {limit} will not do; it goes from 1 to 10000"
            with pytest.raises(UsageError, match=line):
                await client.jobs(limit=limit)
            with pytest.raises(UsageError, match=line):
                await client.workers(limit)
        with pytest.raises(UsageError, match=r"refuses to look for the tag 'a\\x00' and the path"):
            await client.jobs(tag="a\0")


@on_both
async def test_what_a_job_wrote_is_shown_by_attempt(database_url: str) -> None:
    """The text of each attempt, put together from its chunks; nothing where nothing was written."""
    async with open_client(database_url) as client:
        quiet = await client.enqueue("fail", {"why": "x"})
        loud = await client.enqueue("greet", awaited=True)
        assert await client.logs(loud) == []
        with working(database_url, Held().app):
            await client.wait(loud)
            await client.wait(quiet)
        insert = "insert into trioworker.job_log (id, attempt, chunk, text) values (%s, 2, %s, %s)"
        for chunk, text in ((10, "c"), (2, "b"), (1, "a")):
            do(database_url, insert, loud, chunk, text)
        logs = await client.logs(loud)
        assert await client.logs(quiet) == []
    assert [(log.attempt, log.text) for log in logs] == [(1, "greeting world\n"), (2, "abc")]


@on_both
async def test_workers_are_shown_as_they_introduced_themselves(database_url: str) -> None:
    """With what they hold, and that they said goodbye."""
    held = Held()
    async with open_client(database_url) as client:
        assert await client.workers() == []
        await client.enqueue("hold")
        with working(database_url, held.app, name="eager", tags=Tags(("default", "mail"), (0, 5))):
            await happens(held.begun)
            (alive,) = await client.workers()
            held.go.set()
        with working(database_url, held.app, name="idle"):
            both = await client.workers()
            assert len(await client.workers(1)) == 1
        gone = await client.workers()
    assert (alive.name, alive.host, alive.pid, alive.mode) == ("eager", "here", 1, "agent-batch")
    assert (alive.tags, alive.ranks) == (["default", "mail"], [0, 5])
    assert (alive.state, alive.claimed) == ("alive", 1)
    assert alive.started_at <= alive.last_heartbeat
    assert [(worker.name, worker.state) for worker in both] == [
        ("idle", "alive"),
        ("eager", "stopped"),
    ]
    assert [(worker.name, worker.state) for worker in gone] == [
        ("idle", "stopped"),
        ("eager", "stopped"),
    ]


@on_both
async def test_a_worker_that_says_nothing_is_silent_and_then_lost(database_url: str) -> None:
    """By the clock of the database."""
    with working(database_url, Held().app):
        pass
    async with open_client(database_url) as client:
        do(
            database_url,
            "update trioworker.worker"
            " set stopped_at = null, last_heartbeat = now() - interval '1 minute'",
        )
        assert [worker.state for worker in await client.workers()] == ["silent"]
        do(database_url, "update trioworker.worker set lost_at = now()")
        assert [worker.state for worker in await client.workers()] == ["lost"]


@on_both
async def test_unfinished_jobs_are_counted_by_tag(database_url: str) -> None:
    """Each where it stands; what has ended is not counted."""
    async with open_client(database_url) as client:
        assert await client.counts() == []
        await one_of_each(client, database_url)
        await client.enqueue_many([new_job() for _ in range(3)])
        counts = await client.counts()
    assert counts == [
        TagCounts("default", ready=3, scheduled=0, waiting=0, running=0),
        TagCounts("t", ready=1, scheduled=1, waiting=1, running=1),
    ]


@on_both
async def test_the_clock_is_the_one_of_the_database(database_url: str) -> None:
    """It goes on, and has a time zone."""
    async with open_client(database_url) as client:
        first, second = await client.now(), await client.now()
    assert first < second
    assert first.tzinfo is not None


@on_both
async def test_a_job_that_moves_on_while_it_is_looked_for_is_left_out(database_url: str) -> None:
    """Who asks for what is ready is shown nothing that has ended meanwhile."""
    async with open_client(database_url) as client:
        stays, goes = await client.enqueue("greet"), await client.enqueue("greet")

    def move(event: Event) -> None:
        if isinstance(event, StatementRun) and event.name == "list_jobs":
            assert event.rows == 2
            do(database_url, "delete from trioworker.ready where id = %s", goes)

    async with open_database(database_url, (Lane(CLIENT),), emit=move) as database:
        ready = await PostgresJobs(database).newest(
            state="ready", tag=None, path=None, limit=10, before=None
        )
    assert [job.id for job in ready] == [stays]
