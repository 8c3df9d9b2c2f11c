"""Following what a job writes while it runs."""

import threading
from collections.abc import AsyncIterator
from uuid import UUID

import anyio
import pytest

from tests.client.harness import PATIENCE_S, do, on_both, own_server, restart, working
from trioworker import App, Client, RetryPolicy, UnknownJob, new_id, open_client
from trioworker.model.state import JobLogText

QUICK_S = 0.02


class Writer:
    """An app whose job writes a line and waits until it was read; `fail` fails the first time."""

    def __init__(self) -> None:
        self.app = App()
        self.read = threading.Semaphore(0)
        self.app.job(name="count", retry=RetryPolicy(attempts=2, delay_s=0.0))(self._count)

    def _count(self, lines: int, *, fail: bool = False) -> None:
        for number in range(lines):
            print("line", number)  # noqa: T201 - it becomes the job's log
            assert self.read.acquire(timeout=PATIENCE_S)
        if fail:
            raise ValueError("as told")


async def followed(writer: Writer, texts: AsyncIterator[JobLogText]) -> list[JobLogText]:
    """All texts; each lets the job go on."""
    found = []
    with anyio.fail_after(PATIENCE_S):
        async for text in texts:
            found.append(text)
            writer.read.release()
    return found


async def enqueue(client: Client, lines: int, **args: object) -> UUID:
    """A job that writes so many lines."""
    return await client.enqueue("count", {"lines": lines, **args}, awaited=True)


@on_both
async def test_lines_come_while_the_job_runs(database_url: str) -> None:
    """Each once and in order, and after the last one it is over."""
    writer = Writer()
    async with open_client(database_url) as client:
        id_ = await enqueue(client, 3)
        with working(database_url, writer.app, log_flush_s=QUICK_S):
            found = await followed(writer, client.follow_logs(id_))
        again = await followed(writer, client.follow_logs(id_))
    assert found == [JobLogText(1, f"line {number}\n") for number in range(3)]
    assert "".join(text.text for text in again) == "line 0\nline 1\nline 2\n"


@on_both
async def test_a_job_is_followed_through_its_attempts(database_url: str) -> None:
    """The texts say to which attempt they belong."""
    writer = Writer()
    async with open_client(database_url) as client:
        id_ = await enqueue(client, 1, fail=True)
        with working(database_url, writer.app, log_flush_s=QUICK_S):
            found = await followed(writer, client.follow_logs(id_))
    assert found == [JobLogText(1, "line 0\n"), JobLogText(2, "line 0\n")]


@on_both
async def test_nobody_follows_a_job_that_does_not_exist(database_url: str) -> None:
    """Nor one that is deleted meanwhile."""
    writer = Writer()
    async with open_client(database_url) as client:
        id_ = await enqueue(client, 1)
        with working(database_url, writer.app, log_flush_s=QUICK_S):
            texts = client.follow_logs(id_)
            await anext(texts)
            do(database_url, "delete from trioworker.job")
            for unknown in (texts, client.follow_logs(new_id())):
                with pytest.raises(UnknownJob, match="there is no job"):
                    await followed(writer, unknown)
            writer.read.release()


@on_both
async def test_an_outage_is_waited_out() -> None:
    """What was written meanwhile comes later."""
    writer = Writer()
    with own_server() as server:
        async with open_client(server.url) as client:
            id_ = await enqueue(client, 2)
            with working(server.url, writer.app, log_flush_s=QUICK_S):
                texts = client.follow_logs(id_)
                first = await anext(texts)
                await restart(server)
                writer.read.release()
                rest = await followed(writer, texts)
    assert [first, *rest] == [JobLogText(1, "line 0\n"), JobLogText(1, "line 1\n")]
