"""Jobs that have failed are retried by a client, by their ids or all that fit."""

from datetime import UTC, datetime

import pytest

from tests.client.harness import on_both, working
from trioworker import App, JobContext, Limit, Unique, UsageError, new_id, open_client

app = App(labels=["ours"])
broken: list[str] = []


@app.job
async def fetch(context: JobContext, what: str = "") -> str:
    """Fails as long as it is broken."""
    context.label(f"attempt {context.attempt}")
    if broken:
        raise LookupError(f"no {what}")
    return what


@on_both
async def test_a_failed_job_succeeds_when_it_is_retried(database_url: str) -> None:
    """Its next attempt is the next one; labels are those of its end."""
    broken[:] = ["yes"]
    async with open_client(database_url, app=app) as client:
        job = await client.enqueue("fetch", {"what": "a"}, awaited=True)
        with working(database_url, app):
            assert (await client.wait(job, timeout_s=50)).state == "failure"
            broken.clear()
            found = await client.retry([job, job, new_id()])
            assert (found.ready, found.kept_out) == ([job], {})
            state = await client.wait(job, timeout_s=50)
        assert (state.state, state.attempt, state.result) == ("success", 2, "a")
        assert list(state.labels) == ["attempt 2", "ours"]
        assert [one.error.name for one in await client.attempts(job)] == ["LookupError"]
        assert [one.id for one in await client.jobs(label="attempt 2")] == [job]
        assert await client.jobs(label="attempt 1") == []
        assert (await client.retry([job])).ready == []


@on_both
async def test_all_that_were_canceled_are_retried(database_url: str) -> None:
    """In as many transactions as it takes; nothing is not an error."""
    async with open_client(database_url) as client:
        jobs = [await client.enqueue("fetch", tag="t") for _ in range(3)]
        other = await client.enqueue("other")
        await client.cancel([*jobs, other])
        found = [part async for part in client.retry_all(state="canceled", path="fetch", tag="t")]
        assert [part.ready for part in found] == [jobs]
        assert [part async for part in client.retry_all()] == []
        assert (await client.job(other)).state == "canceled"


@on_both
async def test_a_unique_job_says_who_has_its_key(database_url: str) -> None:
    """It stays as it is."""
    unique = Unique("u")
    async with open_client(database_url) as client:
        first = await client.enqueue("fetch", unique=unique, limit=Limit(1))
        await client.cancel([first])
        second = await client.enqueue("fetch", unique=unique)
        assert (await client.retry([first])).kept_out == {first: second}
        assert (await client.job(first)).state == "canceled"


@on_both
async def test_what_cannot_be_asked_for_is_said(database_url: str) -> None:
    """In one line."""
    async with open_client(database_url) as client:
        with pytest.raises(UsageError, match="in the state 'success' are not retried"):
            _ = [part async for part in client.retry_all(state="success")]
        with pytest.raises(UsageError, match="no time zone"):
            _ = [part async for part in client.retry_all(since=datetime(2030, 1, 1))]  # noqa: DTZ001 - the point
        _ = [part async for part in client.retry_all(since=datetime(2030, 1, 1, tzinfo=UTC))]
