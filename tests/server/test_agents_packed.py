"""What leaves the host is packed when it is long; what stays on it is not."""

import pytest
import trio

from tests.server.agents import open_server
from tests.worker.harness import Rig
from trioworker.model.job import Job
from trioworker.model.outcome import Outcome, Succeeded
from trioworker.settings import Address
from trioworker.store.agent import AgentStore
from trioworker.store.line import HttpLine, Reply, open_line
from trioworker.store.reach import Headers

ELSEWHERE = "127.0.0.2"
"""This host by a name that agents do not know for it."""
LONG = b'"%s"' % (b"long " * 4_000)


class Watched:
    """A line that notes how bodies go out and come back."""

    def __init__(self, line: HttpLine) -> None:
        self.server = line.server
        self._line = line
        self.asked: set[bytes | None] = set()
        self.answered: set[bytes | None] = set()

    async def ask(self, path: str, headers: Headers, body: bytes, *, timeout_s: float) -> Reply:
        """As it is, noted."""
        reply = await self._line.ask(path, headers, body, timeout_s=timeout_s)
        self.asked.add(dict(headers).get(b"content-encoding"))
        self.answered.add(reply.header(b"content-encoding"))
        return reply


@pytest.mark.parametrize(("host", "packed"), [(ELSEWHERE, {b"gzip", None}), ("127.0.0.1", {None})])
async def test_long_bodies_are_packed(
    database_url: str, host: str, packed: set[bytes | None]
) -> None:
    """Arguments on their way to the agent, and results on their way back, arrive whole."""

    async def body(job: Job) -> Outcome:
        return Succeeded(job.args.encode())

    async with open_server(database_url, listen=Address(host, 0)) as server:
        rig = Rig(database_url, server.database, [])
        rig.runner.body = body
        await rig.enqueue(20, args=LONG.decode())
        async with open_line(server.address) as line:
            watched = Watched(line)
            store = AgentStore(
                watched,
                await server.token(),
                batches=True,
                packs=not line.is_local,
                now_s=trio.current_time,
                timeout_s=30.0,
            )
            await rig.work(store=store)
    assert rig.query("select distinct result::text from trioworker.job_completed") == [
        (LONG.decode(),)
    ]
    assert watched.asked == watched.answered == packed
