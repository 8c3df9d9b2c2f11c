"""A server for agents on a real database and a real socket, and the stores of its agents."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from random import Random
from typing import Any, Final
from uuid import UUID

import httpx
import msgspec
import trio

from trioworker.events import Event
from trioworker.ids import new_id
from trioworker.model.agent_token import AgentToken, encode_token
from trioworker.model.tags import Tags, unranked
from trioworker.server.agents import AGENT_LANES, Agents
from trioworker.server.app import make_app
from trioworker.server.auth import AgentAuth
from trioworker.server.serve import serve
from trioworker.settings import Address
from trioworker.store import wire
from trioworker.store.agent import AgentStore, open_agent_store
from trioworker.store.postgres.database import PostgresDatabase, open_database
from trioworker.store.postgres.store import CONTROL, PostgresStore
from trioworker.store.postgres.tokens import PostgresTokens

SECRET: Final = "a-secret-of-the-tests-long-enough-to-be-one"  # noqa: S105 - of nothing
ANY_PORT: Final = Address("127.0.0.1", 0)


@dataclass
class Server:
    """A server that runs, what it says, and its database."""

    address: str
    database: PostgresDatabase
    events: Sequence[Event]

    async def token(
        self,
        *tags: str,
        ranks: Sequence[int] = (),
        group: str = "agents",
        expires_at: datetime | None = None,
        secret: str = SECRET,
    ) -> str:
        """A new token for an agent that takes these tags, which are equal without `ranks`."""
        names = tags or ("default",)
        ranked = Tags(names, (*ranks,)) if ranks else unranked(*names)
        token = AgentToken(new_id(), group, ranked, expires_at)
        await PostgresTokens(self.database, CONTROL).add(token, created_by="test")
        return encode_token(token, secret)

    @asynccontextmanager
    async def store(
        self, token: str | None = None, *, batches: bool = True
    ) -> AsyncIterator[AgentStore]:
        """The store of an agent with this token, or with a new one."""
        async with open_agent_store(
            self.address,
            token or await self.token(),
            batches=batches,
            now_s=trio.current_time,
        ) as store:
            yield store


@asynccontextmanager
async def open_server(url: str, *, listen: Address = ANY_PORT) -> AsyncIterator[Server]:
    """A server of agents before the database at `url`, for as long as the context lasts."""
    events: list[Event] = []
    async with (
        open_database(url, AGENT_LANES, emit=events.append) as database,
        trio.open_nursery() as nursery,
    ):
        store = PostgresStore(database, now_s=trio.current_time)
        tokens = PostgresTokens(database, CONTROL)
        agents = Agents(store, AgentAuth(tokens, SECRET, emit=events.append), Random(1))
        nursery.start_soon(agents.run)
        app = make_app(agents.routes(), emit=events.append)
        address: Address = await nursery.start(serve, app, listen)
        yield Server(f"http://{address}", database, events)
        nursery.cancel_scope.cancel()


class Line:
    """Requests to the agents API as they are, for what no agent of ours would send."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def post(
        self, path: str, body: object, *, token: str | None = None, **headers: str
    ) -> httpx.Response:
        """The reply to `body`, which is encoded unless it is bytes."""
        content = body if isinstance(body, bytes) else msgspec.json.encode(body)
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        return await self._client.post(wire.PREFIX + path, content=content, headers=headers)

    async def registered(self, token: str, worker: UUID | None = None) -> UUID:
        """A worker of this token's."""
        said = wire.Register(worker or new_id(), "agent", "host", 1, "agent-batch", 60.0)
        reply = await self.post("register", said, token=token)
        assert reply.status_code == 200, reply.text
        return said.worker

    async def pulled(self, token: str, worker: UUID, size: int = 100) -> dict[str, Any]:
        """The batch that a pull claims."""
        asked = wire.Pull(worker, new_id(), size)
        reply = await self.post("batch_pull", asked, token=token)
        assert reply.status_code == 200, reply.text
        batch: dict[str, Any] = reply.json()
        return batch


@asynccontextmanager
async def open_line(server: Server) -> AsyncIterator[Line]:
    """A line to the server, for as long as the context lasts."""
    async with httpx.AsyncClient(base_url=server.address, timeout=30) as client:
        yield Line(client)
