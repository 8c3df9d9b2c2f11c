"""Server-sent events: what a job writes and how it ends, as it happens."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

import httpx
import msgspec
import pytest
import trio

from tests.client.harness import do, working
from tests.server.api import PATIENCE_S, api, enqueued
from trioworker.app import App, JobContext
from trioworker.events import Event, RequestServed

Said = tuple[str, dict[str, object]]


async def events_of(said: httpx.Response) -> AsyncGenerator[Said, None]:
    """The events of a stream, without its heartbeats."""
    kind = ""
    async for line in said.aiter_lines():
        name, _, value = line.partition(": ")
        if name == "event":
            kind = value
        elif name == "data":
            yield kind, msgspec.json.decode(value)


@asynccontextmanager
async def watching(client: httpx.AsyncClient, job: str) -> AsyncIterator[trio.SocketStream]:
    """A line of which the head of the answer was read, and that may be dropped at any time."""
    stream = await trio.open_tcp_stream(client.base_url.host, client.base_url.port or 0)
    async with stream:
        head = f"GET /api/jobs/{job}/events HTTP/1.1\r\nhost: localhost\r\n\r\n"
        await stream.send_all(head.encode())
        assert await said_up_to(stream, b"\r\n\r\n")
        yield stream


async def said_up_to(stream: trio.SocketStream, end: bytes) -> bytes:
    """What comes, up to these bytes or a little more."""
    said = b""
    with trio.fail_after(PATIENCE_S):
        while end not in said:
            said += await stream.receive_some()
    return said


async def test_lines_come_while_the_job_runs_and_its_end_last(database_url: str) -> None:
    """A client reads what the job writes before it ends, then how it ended, and nothing more."""
    app, go = App(), trio.Event()
    loop: list[trio.lowlevel.TrioToken] = []

    @app.job
    async def report() -> int:
        loop.append(trio.lowlevel.current_trio_token())
        print("half way")  # noqa: T201 - it becomes the job's log
        await go.wait()
        print("done")  # noqa: T201 - as above
        return 7

    async with api(database_url) as client:
        with working(database_url, app, log_flush_s=0.05):
            job = await enqueued(client, "report")
            async with (
                client.stream("GET", f"/api/jobs/{job}/events") as said,
                aclosing(events_of(said)) as events,
            ):
                first = await anext(events)
                loop[0].run_sync_soon(go.set)
                rest = [one async for one in events]

    assert said.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert first == ("log", {"attempt": 1, "text": "half way\n"})
    assert rest == [
        ("log", {"attempt": 1, "text": "done\n"}),
        ("end", {"id": job, "state": "success", "result": 7, "error": None}),
    ]


async def test_progress_comes_while_the_job_runs(database_url: str) -> None:
    """How far a job is comes each time it is another, the last time before its end."""
    app, go = App(), trio.Event()
    loop: list[trio.lowlevel.TrioToken] = []

    @app.job
    async def copy(context: JobContext) -> None:
        loop.append(trio.lowlevel.current_trio_token())
        context.progress(0.5, "half way")
        await go.wait()
        context.progress(1, "done")

    async with api(database_url) as client:
        with working(database_url, app, log_flush_s=0.05):
            job = await enqueued(client, "copy")
            async with (
                client.stream("GET", f"/api/jobs/{job}/events") as said,
                aclosing(events_of(said)) as events,
            ):
                first = await anext(events)
                loop[0].run_sync_soon(go.set)
                rest = [one async for one in events]

    told = [first, *rest[:-1]]
    assert [(kind, one["fraction"], one["note"]) for kind, one in told] == [
        ("progress", 0.5, "half way"),
        ("progress", 1.0, "done"),
    ]
    assert rest[-1][0] == "end"


async def test_a_job_that_ended_long_ago_is_told_at_once(database_url: str) -> None:
    """The stream of an ended job has an end, too."""
    async with api(database_url) as client:
        job = await enqueued(client)
        await client.post(f"/api/jobs/{job}/cancel", json={"reason": "no"})
        said = await client.get(f"/api/jobs/{job}/events")
        head = await client.head(f"/api/jobs/{job}/events")

    kind, _, data = said.text.partition("event: end\ndata: ")[2].partition("\n")
    assert msgspec.json.decode(kind)["state"] == "canceled"
    assert data == "\n"
    assert (head.status_code, head.content) == (200, b"")


async def test_a_quiet_stream_is_kept_alive(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Comments come while nothing happens, so that nobody in between hangs up."""
    monkeypatch.setattr("trioworker.server.events.HEARTBEAT_S", 0.01)
    async with api(database_url) as client:
        job = await enqueued(client)
        async with watching(client, job) as stream:
            for _ in range(3):
                await said_up_to(stream, b": all is well\n\n")


async def test_a_job_that_is_deleted_meanwhile_ends_its_stream(database_url: str) -> None:
    """What can never end is told as an error."""
    async with api(database_url) as client:
        job = await enqueued(client)
        async with (
            client.stream("GET", f"/api/jobs/{job}/events") as said,
            aclosing(events_of(said)) as events,
        ):
            do(database_url, "delete from trioworker.job where id = %s", job)
            found = [one async for one in events]

    assert found == [("error", {"error": f"there is no job {job}"})]


async def test_a_stream_ends_with_its_client(database_url: str) -> None:
    """Nothing is asked of the database for the sake of somebody who has gone."""
    ended = trio.Event()

    def heard(event: Event) -> None:
        if isinstance(event, RequestServed) and event.route.endswith("/events"):
            ended.set()

    async with api(database_url, emit=heard) as client:
        job = await enqueued(client)
        async with watching(client, job):
            pass
        with trio.fail_after(PATIENCE_S):
            await ended.wait()


async def test_a_stream_is_cut_by_a_server_that_stops(database_url: str) -> None:
    """It ends without an `end`, so its client knows that there is more to come."""
    lines: list[str] = []
    async with trio.open_nursery() as nursery, api(database_url) as client:
        url = client.base_url.join(f"/api/jobs/{await enqueued(client)}/events")
        first = trio.Event()

        async def read() -> None:
            async with (
                httpx.AsyncClient(timeout=PATIENCE_S) as other,
                other.stream("GET", url) as said,
            ):
                async for line in said.aiter_lines():
                    lines.append(line)
                    first.set()

        nursery.start_soon(read)
        await first.wait()

    assert [line for line in lines if line] == [": all is well"]
