"""What leaves the host is packed when it is long; what stays on it is not."""

from collections.abc import AsyncIterator

import httpx
import pytest
import trio

from tests.server.agents import open_server
from tests.worker.harness import Rig
from trioworker.model.job import Job
from trioworker.model.outcome import Outcome, Succeeded
from trioworker.settings import Address
from trioworker.store.agent import open_agent_store

ELSEWHERE = "127.0.0.2"
"""This host by a name that agents do not know for it."""
LONG = b'"%s"' % (b"long " * 4_000)


class Watched(httpx.AsyncHTTPTransport):
    """Notes how bodies go out and come back."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: set[str | None] = set()
        self.answered: set[str | None] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """As it is, noted."""
        reply = await super().handle_async_request(request)
        self.asked.add(request.headers.get("content-encoding"))
        self.answered.add(reply.headers.get("content-encoding"))
        return reply


@pytest.fixture
async def watched() -> AsyncIterator[Watched]:
    """A transport that tells."""
    async with Watched() as transport:
        yield transport


@pytest.mark.parametrize(("host", "packed"), [(ELSEWHERE, {"gzip", None}), ("127.0.0.1", {None})])
async def test_long_bodies_are_packed(
    database_url: str, watched: Watched, host: str, packed: set[str | None]
) -> None:
    """Arguments on their way to the agent, and results on their way back, arrive whole."""

    async def body(job: Job) -> Outcome:
        return Succeeded(job.args.encode())

    async with open_server(database_url, listen=Address(host, 0)) as server:
        rig = Rig(database_url, server.database, [])
        rig.runner.body = body
        await rig.enqueue(20, args=LONG.decode())
        async with open_agent_store(
            server.address,
            await server.token(),
            batches=True,
            now_s=trio.current_time,
            transport=watched,
        ) as store:
            await rig.work(store=store)
    assert rig.query("select distinct result::text from trioworker.job_completed") == [
        (LONG.decode(),)
    ]
    assert watched.asked == watched.answered == packed
