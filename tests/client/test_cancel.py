"""Cancelling jobs, wherever they stand."""

from datetime import timedelta

import anyio
import pytest

from tests.client.harness import (
    Held,
    ask,
    do,
    happens,
    new_job,
    on_both,
    somebody_waits,
    working,
)
from trioworker import Cancellation, UsageError, new_id, open_client


@on_both
async def test_what_has_not_begun_ends_at_once(database_url: str) -> None:
    """Due or scheduled: it is in no queue any more, and says why it ended."""
    async with open_client(database_url) as client:
        due = await client.enqueue("greet")
        later = await client.enqueue("greet", delay_s=3600)
        told = await client.cancel([due, later])
        states = [await client.job(job) for job in (due, later)]
        assert await client.counts() == []
    assert told == Cancellation([due, later], [])
    assert [state.state for state in states] == ["canceled", "canceled"]
    assert [state.error.message for state in states if state.error] == ["cancelled by a client"] * 2
    assert [(state.attempt, state.worker, state.started_at) for state in states] == [
        (1, None, None)
    ] * 2


@on_both
async def test_what_waits_for_something_ends_at_once(database_url: str) -> None:
    """Whatever it waits for."""
    async with open_client(database_url) as client:
        job = await client.enqueue("greet")
        do(database_url, "delete from trioworker.ready")
        do(database_url, "insert into trioworker.waiting (id, reason) values (%s, 'test')", job)
        assert await client.cancel([job], "enough") == Cancellation([job], [])
        assert (await client.job(job)).state == "canceled"
        assert ask(database_url, "select count(*) from trioworker.waiting") == [(0,)]


@on_both
async def test_a_running_job_is_stopped_by_its_worker(database_url: str) -> None:
    """The worker hears of it; the job ends as canceled for the reason that was given."""
    held = Held()
    async with open_client(database_url) as client:
        job = await client.enqueue("hang", awaited=True)
        with working(database_url, held.app):
            await happens(held.begun)
            assert await client.cancel([job], "too slow") == Cancellation([], [job])
            state = await client.wait(job)
    assert state.state == "canceled"
    assert state.error is not None
    assert (state.error.name, state.error.message) == ("Cancelled", "too slow")
    assert state.worker is not None
    assert state.started_at is not None


@on_both
async def test_to_ask_again_is_no_mistake(database_url: str) -> None:
    """The first reason stands."""
    held = Held()
    async with open_client(database_url) as client:
        job = await client.enqueue("hold", awaited=True)
        with working(database_url, held.app):
            await happens(held.begun)
            for reason in ("first", "second"):
                assert await client.cancel([job], reason) == Cancellation([], [job])
            state = await client.wait(job)
            held.go.set()
        assert await client.cancel([job]) == Cancellation([], [])
    assert state.error is not None
    assert state.error.message == "first"


@on_both
async def test_what_has_ended_or_never_was_is_left_alone(database_url: str) -> None:
    """It is in neither list."""
    async with open_client(database_url) as client:
        job = await client.enqueue("greet")
        with working(database_url, Held().app):
            await client.wait(job)
        assert await client.cancel([job, new_id()]) == Cancellation([], [])
        assert await client.cancel([]) == Cancellation([], [])
        assert (await client.job(job)).state == "success"
    assert ask(database_url, "select count(*) from trioworker.cancel_request") == [(0,)]


@on_both
async def test_many_are_cancelled_in_one_go(database_url: str) -> None:
    """Any iterable of ids, each as it stands; one that comes twice is one."""
    held = Held()
    async with open_client(database_url) as client:
        running = await client.enqueue("hang", awaited=True)
        with working(database_url, held.app):
            await happens(held.begun)
            await client.enqueue("hang", tag="nobody")
            due = await client.now() + timedelta(hours=1)
            later = await client.enqueue_many([new_job(due=due) for _ in range(50)])
            told = await client.cancel(id_ for id_ in [*later, running, *later[:5], new_id()])
            await client.wait(running)
        assert told == Cancellation(later, [running])
        assert [counts.ready for counts in await client.counts()] == [1]


@on_both
async def test_who_waits_for_a_job_learns_that_it_was_cancelled(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A notification goes out with it, as for any other end."""
    monkeypatch.setattr("trioworker.store.postgres.waits.LOOK_FIRST_S", 3600)
    monkeypatch.setattr("trioworker.store.postgres.waits.LOOK_LAST_S", 3600)
    async with open_client(database_url) as client:
        job = await client.enqueue("greet", awaited=True)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.wait, job)
            await somebody_waits(database_url)
            await client.cancel([job])


@on_both
async def test_a_reason_that_cannot_be_stored_is_refused(database_url: str) -> None:
    """One line, and the job is left alone."""
    async with open_client(database_url) as client:
        job = await client.enqueue("greet")
        with pytest.raises(UsageError, match=r"the database refuses the reason 'a\\x00b': "):
            await client.cancel([job], "a\0b")
        assert (await client.job(job)).state == "ready"
