"""Waiting for a job to end, whatever happens meanwhile."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from math import inf, nan
from pathlib import Path
from uuid import UUID

import anyio
import psycopg
import pytest

from tests.client.harness import (
    PATIENCE_S,
    Held,
    ask,
    beside,
    do,
    happens,
    on_both,
    own_server,
    restart,
    somebody_looks,
    somebody_waits,
    until,
    working,
)
from tests.worker.line_cutter import LineCutter, line_cutter
from trioworker import Client, UnknownJob, UsageError, WaitTimeout, new_id, open_client
from trioworker.store.postgres import waits


def end(url: str, job: object, *, notify: bool = False) -> None:
    """End the job as a worker's commit does."""
    do(url, "delete from trioworker.ready where id = %s", job)
    do(
        url,
        "insert into trioworker.job_completed (id, status, result, attempt)"
        " values (%s, 'success', '42', 1)",
        job,
    )
    if notify:
        tell(url, job)


def tell(url: str, what: object) -> None:
    """Notify those who wait for the job."""
    do(url, "select pg_notify('trioworker_done', %s)", str(what))


@on_both
async def test_a_job_that_has_ended_is_not_waited_for(database_url: str) -> None:
    """Its state is there at once, even with no time to wait."""
    held = Held()
    async with open_client(database_url) as client:
        job = await client.enqueue("greet")
        with working(database_url, held.app):
            await client.wait(job)
        state = await client.wait(job, timeout_s=0)
    assert (state.id, state.state, state.result) == (job, "success", "Hello, world!")
    assert state.ended


@pytest.mark.parametrize("awaited", [True, False])
@on_both
async def test_the_end_of_a_running_job_is_seen(database_url: str, awaited: bool) -> None:  # noqa: FBT001 - the two cases
    """Whether it was enqueued to be waited for or not."""
    held = Held()
    async with open_client(database_url) as client:
        job = await client.enqueue("hold", awaited=awaited)
        with working(database_url, held.app):
            await happens(held.begun)
            async with while_waiting(database_url, client, job):
                held.go.set()
            state = await client.job(job)
    assert (state.state, state.result) == ("success", "let go")


@asynccontextmanager
async def while_waiting(url: str, client: Client, *jobs: UUID) -> AsyncIterator[None]:
    """The body runs once the jobs are waited for; ends when all have ended."""

    async def wait(job: UUID) -> None:
        assert (await client.wait(job, timeout_s=PATIENCE_S)).ended

    async with anyio.create_task_group() as tasks:
        for job in jobs:
            tasks.start_soon(wait, job)
        await somebody_waits(url)
        yield


@on_both
async def test_a_notification_is_enough(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that was enqueued `awaited` is not looked for now and then."""
    monkeypatch.setattr(waits, "LOOK_FIRST_S", 3600)
    monkeypatch.setattr(waits, "LOOK_LAST_S", 3600)
    held = Held()
    async with open_client(database_url) as client:
        job = await client.enqueue("hold", awaited=True)
        with working(database_url, held.app):
            async with while_waiting(database_url, client, job):
                held.go.set()


@on_both
async def test_looking_is_enough(database_url: str) -> None:
    """What ends without a notification, or one that was lost, is found."""
    async with open_client(database_url) as client:
        job = await client.enqueue("greet", awaited=True)
        async with while_waiting(database_url, client, job):
            end(database_url, job)


@on_both
async def test_only_those_who_wait_cost_a_notification(database_url: str) -> None:
    """A NOTIFY locks the whole database for a moment: a worker sends none that nobody asked for."""
    held = Held()
    with psycopg.connect(database_url, autocommit=True) as listener:
        listener.execute("listen trioworker_done")
        async with open_client(database_url) as client:
            quiet = await client.enqueue("greet")
            loud = await client.enqueue("greet", awaited=True)
            with working(database_url, held.app):
                await client.wait(quiet)
                await client.wait(loud)
        heard = [note.payload for note in listener.notifies(timeout=PATIENCE_S, stop_after=1)]
        heard += [note.payload for note in listener.notifies(timeout=0)]
    assert heard == [str(loud)]


@on_both
async def test_what_others_notify_is_no_news(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither noise nor a job that has not ended yet ends a wait, and nobody complains of it."""
    async with open_client(database_url) as client:
        job = await client.enqueue("greet")
        async with while_waiting(database_url, client, job):
            for noise in ("", "noise", new_id(), job):
                tell(database_url, noise)
            assert not (await client.job(job)).ended
            end(database_url, job, notify=True)
    assert caplog.records == []


@on_both
async def test_many_wait_for_one_job_and_one_for_many(database_url: str) -> None:
    """All of them are told, over one connection that listens."""
    async with open_client(database_url) as client:
        jobs = [await client.enqueue("greet", awaited=True) for _ in range(20)]
        with working(database_url, Held().app):
            async with while_waiting(database_url, client, *jobs, *jobs, *jobs[:1] * 50):
                listening = "select count(*) from pg_stat_activity where query like %s"
                assert ask(database_url, listening, 'LISTEN "trioworker_done"%') == [(1,)]
        assert {job.state for job in await client.jobs()} == {"success"}


@on_both
async def test_one_who_gives_up_leaves_the_others_waiting(database_url: str) -> None:
    """A wait that is cancelled takes nothing along."""
    async with open_client(database_url) as client:
        job = await client.enqueue("greet", awaited=True)
        async with while_waiting(database_url, client, job):
            with anyio.move_on_after(0.01):
                await client.wait(job)
            with pytest.raises(WaitTimeout):
                await client.wait(job, timeout_s=0.01)
            end(database_url, job, notify=True)


@pytest.mark.parametrize("timeout_s", [0, 0.05])
@on_both
async def test_a_wait_has_an_end_when_it_is_told_one(database_url: str, timeout_s: float) -> None:
    """The error says where the job stood, and is a TimeoutError to those who know that only."""
    async with open_client(database_url) as client:
        job = await client.enqueue("greet", delay_s=3600)
        with pytest.raises(WaitTimeout) as caught:
            await client.wait(job, timeout_s=timeout_s)
        assert str(caught.value) == f"job {job} is scheduled after {timeout_s} s of waiting"
        assert isinstance(caught.value, TimeoutError)
        assert (await client.job(job)).state == "scheduled"


@pytest.mark.parametrize("timeout_s", [-1, nan])
@on_both
async def test_a_time_that_is_none_is_refused(database_url: str, timeout_s: float) -> None:
    """The same line on both libraries."""
    async with open_client(database_url) as client:
        job = await client.enqueue("greet")
        with pytest.raises(UsageError, match=f"a wait of {timeout_s} s will not do; it must be 0"):
            await client.wait(job, timeout_s=timeout_s)


@on_both
async def test_to_wait_for_ever_may_be_said_in_two_ways(database_url: str) -> None:
    """No timeout, and one that never comes."""
    async with open_client(database_url) as client:
        job = await client.enqueue("greet")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: client.wait(job))
            tasks.start_soon(lambda: client.wait(job, timeout_s=inf))
            await somebody_waits(database_url)
            end(database_url, job)


@on_both
async def test_nobody_waits_for_a_job_that_does_not_exist(database_url: str) -> None:
    """Before it begins, and when it is deleted meanwhile."""
    unknown = new_id()
    async with open_client(database_url) as client:
        with pytest.raises(UnknownJob, match=f"there is no job {unknown}"):
            await client.wait(unknown)


@on_both
async def test_a_restart_of_the_database_is_waited_out() -> None:
    """Whoever waits learns of it no more than that it took longer."""
    with own_server() as server:
        async with open_client(server.url, pool_size=1) as client:
            quiet = await client.enqueue("greet")
            loud = await client.enqueue("greet", awaited=True)
            async with while_waiting(server.url, client, quiet, loud):
                await somebody_looks(server.url)
                await restart(server)
                with working(server.url, Held().app):
                    await until(lambda: ended(client, quiet, loud))


async def ended(client: Client, *jobs: UUID) -> bool:
    """Whether all of them have."""
    return all([(await client.job(job)).ended for job in jobs])


@on_both
async def test_a_line_that_breaks_while_it_looks_is_no_end_of_a_wait(
    database_url: str, short_folder: Path
) -> None:
    """The waiter's own look at its job may be the one that meets the outage."""
    with beside(line_cutter(database_url, short_folder)) as (url, cutter):
        async with open_client(url) as client:
            job = await client.enqueue("greet")
            async with while_waiting(database_url, client, job):
                for cuts in range(1, 11):
                    cutter.cut_next_reply("client")
                    tell(database_url, job)
                    await until(partial(has_cut, cutter, cuts))
                end(database_url, job)


async def has_cut(cutter: LineCutter, times: int) -> bool:
    """Whether so many replies were lost."""
    return cutter.cuts >= times
