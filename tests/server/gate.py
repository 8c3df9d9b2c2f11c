"""What tells agents from others, on a database of its own, and requests as the server gets them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import psycopg
import pytest
from starlette.requests import Request

from tests.store.postgres.scene import Scene
from trioworker.events import AccessRefused, Event
from trioworker.ids import new_id
from trioworker.model.agent_token import AgentToken
from trioworker.model.tags import unranked
from trioworker.server.auth import UNKNOWN_AGENT, AgentAuth
from trioworker.server.errors import Unauthorised
from trioworker.store.postgres.store import CONTROL
from trioworker.store.postgres.tokens import PostgresTokens, TokenStanding
from trioworker.store.protocol import WorkerInfo

SECRET: Final = "s" * 64
TERMINATE: Final = """
select pg_terminate_backend(pid) from pg_stat_activity
 where datname = current_database() and wait_event_type = 'Lock'
"""


@contextmanager
def held(url: str) -> Iterator[Callable[[], None]]:
    """The table of tokens is locked until the function that it gives is called."""
    with psycopg.connect(url) as connection:
        connection.execute("lock table trioworker.agent_token in access exclusive mode")
        yield connection.rollback


def asked(*credentials: bytes, path: str = "/api/agent_workers/pull") -> Request:
    """A request as the server hands it over, with so many `Authorization` headers."""
    headers = [(b"host", b"server:8600"), *((b"authorization", one) for one in credentials)]
    return Request(
        {
            "type": "http", "method": "POST", "path": path, "raw_path": path.encode(),
            "query_string": b"", "headers": headers, "client": ("192.0.2.7", 40_000),
            "server": ("192.0.2.1", 8600), "scheme": "http", "http_version": "1.1",
        }
    )  # fmt: skip


def bearing(text: str) -> Request:
    """A request with a token."""
    return asked(b"Bearer " + text.encode())


class Shifted(PostgresTokens):
    """The tokens of a database whose clock may stand elsewhere."""

    at: datetime | None = None

    async def standing(self, token: UUID) -> TokenStanding | None:
        """As it stands, at that time."""
        found = await super().standing(token)
        return found if found is None or self.at is None else found._replace(now=self.at)


@dataclass
class Gate:
    """What tells agents, on a database of its own, by a clock that the test moves."""

    scene: Scene
    now_s: float = 1_000.0
    refused: list[AccessRefused] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tokens = Shifted(self.scene.database, CONTROL)
        self.auth = self.opened(SECRET)

    def opened(self, secret: str | None) -> AgentAuth:
        """Another one on the same database."""
        return AgentAuth(self.tokens, secret, emit=self.emit, now_s=lambda: self.now_s)

    def emit(self, event: Event) -> None:
        """Note an event, of which there is one sort."""
        assert isinstance(event, AccessRefused)
        self.refused.append(event)

    async def make(self, *, ends_s: float = 3_600.0, noted: bool = True) -> AgentToken:
        """A token, which counts if it is noted."""
        ends = await self.tokens.now() + timedelta(seconds=ends_s)
        token = AgentToken(new_id(), "gpu", unranked("red"), ends.replace(microsecond=0))
        if noted:
            await self.tokens.add(token, created_by="me")
        return token

    async def refuses(self, request: Request) -> AccessRefused:
        """How it refuses the request: with the sentence for all, and one event."""
        before = len(self.refused)
        with pytest.raises(Unauthorised) as told:
            await self.auth.token(request)
        assert (told.value.status, told.value.sentence) == (401, UNKNOWN_AGENT)
        (event,) = self.refused[before:]
        assert (event.credential, event.peer) == ("token", "192.0.2.7")
        return event

    def looked_up(self) -> int:
        """How often the database was asked for a token."""
        return sum(s.name == "token_standing" for s in self.scene.statements())

    async def register(self, token: AgentToken | None) -> UUID:
        """A worker that came with the token."""
        info = WorkerInfo(
            id=new_id(), name="w", host="h", pid=1, mode="agent", tags=unranked("red"),
            lease_s=60.0, token=None if token is None else token.id,
        )  # fmt: skip
        await self.scene.store.register(info)
        return info.id
