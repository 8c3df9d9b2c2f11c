"""An agent is who its token says, and whoever has none of ours learns one sentence and no more."""

import base64
import hmac
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

import psycopg
import pytest
import trio
import trio.testing
from starlette.requests import Request

from tests.store.postgres.scene import Scene, open_scene
from trioworker.errors import ConnectionLost
from trioworker.events import AccessRefused, Event
from trioworker.ids import new_id
from trioworker.model.agent_token import TOKEN_CHARS_MAX, AgentToken, encode_token
from trioworker.model.tags import unranked
from trioworker.server.auth import FRESH_S, OWNED_S, UNKNOWN_AGENT, AgentAuth
from trioworker.server.errors import Forbidden, Unauthorised
from trioworker.store.postgres.store import CONTROL
from trioworker.store.postgres.tokens import PostgresTokens, TokenStanding
from trioworker.store.protocol import WorkerInfo

SECRET: Final = "s" * 64
OTHER_SECRET: Final = "t" * 64
PUBLIC_KEY: Final = (
    "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A\n-----END PUBLIC KEY-----\n"
)


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
        token = AgentToken(new_id(), "gpu", ("red",), ends.replace(microsecond=0))
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


@pytest.fixture
async def gate(database_url: str) -> AsyncIterator[Gate]:
    """See `Gate`."""
    async with open_scene(database_url) as scene:
        yield Gate(scene)


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


def part(value: bytes) -> str:
    """A part of a token."""
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


def forged(header: dict[str, Any], text: str, *, key: str = SECRET) -> str:
    """The claims of a token under another header, signed with `key`."""
    signed = f"{part(json.dumps(header).encode())}.{text.split('.')[1]}"
    return f"{signed}.{part(hmac.digest(key.encode(), signed.encode(), sha256))}"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER "])
async def test_a_token_is_taken(gate: Gate, scheme: str) -> None:
    """Its group and its tags are those that were signed."""
    token = await gate.make()
    text = encode_token(token, SECRET)
    assert await gate.auth.token(asked(f"{scheme} {text}".encode())) == token
    assert gate.refused == []


Forge = Callable[[str], Request]
ATTACKS: Final[dict[str, tuple[Forge, str]]] = {
    "no token": (lambda _: asked(), "none was sent"),
    "nothing in it": (lambda _: asked(b""), "is not `Bearer`"),
    "no word in it": (lambda _: asked(b"Bearer "), "is not `Bearer`"),
    "another scheme": (lambda t: asked(b"Basic " + t.encode()), "is not `Bearer`"),
    "no scheme": (lambda t: asked(t.encode()), "is not `Bearer`"),
    "two words": (lambda t: asked(f"Bearer {t} {t}".encode()), "is not `Bearer`"),
    "two headers": (lambda t: asked(*[f"Bearer {t}".encode()] * 2), "more than one was sent"),
    "two in one": (lambda t: asked(f"Bearer {t}, Bearer {t}".encode()), "is not `Bearer`"),
    "not UTF-8": (lambda t: asked(b"Bearer \xff\xfe" + t.encode()), "is not `Bearer`"),
    "not ASCII": (lambda t: asked(f"Bearer {t}é".encode()), "is not `Bearer`"),
    "a NUL": (lambda t: asked(f"Bearer {t}\0".encode()), "is not `Bearer`"),
    "a second line": (lambda t: asked(f"Bearer {t}\r\nx: y".encode()), "is not `Bearer`"),
    "too long": (lambda _: bearing("a" * (TOKEN_CHARS_MAX + 1)), "too long"),
    "no JWT": (lambda _: bearing("password"), "no token"),
    "cut off": (lambda t: bearing(t[:-1]), ""),
    "another signature": (
        lambda t: bearing(forged({"alg": "HS256", "typ": "JWT"}, t, key=OTHER_SECRET)),
        "the signature is not ours",
    ),
    "no signature": (lambda t: bearing(t.rpartition(".")[0] + "."), "no token"),
    "alg none": (
        lambda t: bearing(forged({"alg": "none", "typ": "JWT"}, t)), "the algorithm is not HS256"
    ),
    "alg none, unsigned": (
        lambda t: bearing(forged({"alg": "none", "typ": "JWT"}, t).rpartition(".")[0] + "."),
        "no token",
    ),
    "signed as with a private key": (
        lambda t: bearing(forged({"alg": "RS256", "typ": "JWT"}, t)), "the algorithm is not HS256"
    ),
    "signed with a public key": (
        lambda t: bearing(forged({"alg": "HS256", "typ": "JWT"}, t, key=PUBLIC_KEY)),
        "the signature is not ours",
    ),
    "another digest": (
        lambda t: bearing(forged({"alg": "HS512", "typ": "JWT"}, t)), "the algorithm is not HS256"
    ),
    "a key of the sender's": (
        lambda t: bearing(forged({"alg": "HS256", "typ": "JWT", "jwk": {"kty": "oct"}}, t)),
        "the header is not ours",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("forge", "reason"), ATTACKS.values(), ids=ATTACKS.keys())
async def test_a_forged_token_is_refused(gate: Gate, forge: Forge, reason: str) -> None:
    """Without a word of why, which is in the event, and without a look at the database."""
    text = encode_token(await gate.make(), SECRET)
    event = await gate.refuses(forge(text))
    assert reason in event.reason
    assert (event.token, event.group) == (None, None)
    assert gate.looked_up() == 0
    assert text not in repr(event)


async def test_a_token_of_another_database_is_refused(gate: Gate) -> None:
    """Although it has our signature; who it says to be is in the event."""
    token = await gate.make(noted=False)
    event = await gate.refuses(bearing(encode_token(token, SECRET)))
    assert event.reason == "the token is not among those of this database"
    assert (event.token, event.group) == (token.id, "gpu")


async def test_an_expired_token_is_refused(gate: Gate) -> None:
    """By the database's clock."""
    token = await gate.make(ends_s=-1.0)
    event = await gate.refuses(bearing(encode_token(token, SECRET)))
    assert (event.reason, event.token) == ("the token has expired", token.id)


async def test_a_token_expires_between_two_looks(gate: Gate) -> None:
    """The time that has passed since a look counts as well."""
    token = await gate.make()
    request = bearing(encode_token(token, SECRET))
    assert token.expires_at is not None
    gate.tokens.at = token.expires_at - timedelta(seconds=FRESH_S / 2)
    await gate.auth.token(request)
    gate.now_s += FRESH_S / 2
    assert (await gate.refuses(request)).reason == "the token has expired"
    assert gate.looked_up() == 1


async def test_a_revoked_token_counts_for_a_second_at_most(gate: Gate) -> None:
    """Whoever has looked does not look again before that."""
    token = await gate.make()
    request = bearing(encode_token(token, SECRET))
    await gate.auth.token(request)
    await gate.tokens.revoke([token.id])
    gate.now_s += FRESH_S
    await gate.auth.token(request)
    assert gate.looked_up() == 1
    gate.now_s += 0.001
    event = await gate.refuses(request)
    assert (event.reason, event.token) == ("the token was revoked", token.id)
    await gate.refuses(request)
    assert gate.looked_up() == 2


async def test_a_revocation_is_noticed_in_time(gate: Gate) -> None:
    """By the clock that there is when nobody hands one in."""
    token = await gate.make()
    request = bearing(encode_token(token, SECRET))
    gate.auth = AgentAuth(gate.tokens, SECRET, emit=gate.emit)
    await gate.auth.token(request)
    await gate.tokens.revoke([token.id])
    with trio.fail_after(30):
        while not gate.refused:
            with suppress(Unauthorised):
                await gate.auth.token(request)
            await trio.sleep(FRESH_S / 20)  # what passes is the time for which it may still count
    assert [event.reason for event in gate.refused] == ["the token was revoked"]


async def test_a_crowd_asks_once(gate: Gate) -> None:
    """However many requests come with a token, one of them looks it up."""
    token = await gate.make()
    request = bearing(encode_token(token, SECRET))
    with held(gate.scene.url) as free:
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(gate.auth.token, request)
            await gate.scene.until_blocked()
            free()
    assert gate.looked_up() == 1


async def test_whoever_asks_for_all_may_leave(gate: Gate) -> None:
    """Another one of those that wait asks in its place."""
    token = await gate.make()
    request = bearing(encode_token(token, SECRET))
    with held(gate.scene.url) as free:
        async with trio.open_nursery() as nursery:
            first = await nursery.start(leaving, gate, request)
            await gate.scene.until_blocked()
            nursery.start_soon(gate.auth.token, request)
            await trio.testing.wait_all_tasks_blocked()
            first.cancel()
            await gate.scene.until_blocked()
            free()
    assert gate.refused == []


async def leaving(
    gate: Gate, request: Request, *, task_status: trio.TaskStatus[trio.CancelScope]
) -> None:
    """A request whose sender goes away once the scope is cancelled."""
    with trio.CancelScope() as scope:
        task_status.started(scope)
        await gate.auth.token(request)


async def test_without_the_database_nobody_gets_in(gate: Gate) -> None:
    """All who wait for the same look are told; the next one looks again."""
    token = await gate.make()
    request = bearing(encode_token(token, SECRET))
    failed: list[Exception] = []

    async def ask() -> None:
        with pytest.raises(ConnectionLost) as lost:
            await gate.auth.token(request)
        failed.append(lost.value)

    with held(gate.scene.url) as free:
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(ask)
            await gate.scene.until_blocked()
            gate.scene.do(TERMINATE)
        free()
    assert len(failed) == 5
    assert gate.looked_up() == 0
    assert await gate.auth.token(request) == token


async def test_without_a_secret_there_are_no_agents(gate: Gate) -> None:
    """Whatever they show; the sentence says what the server lacks."""
    text = encode_token(await gate.make(), SECRET)
    for request in (asked(), bearing(text)):
        with pytest.raises(Forbidden, match="set TRIOWORKER_AGENT_SECRET"):
            await gate.opened(None).token(request)


async def test_a_worker_is_its_own_tokens_only(gate: Gate) -> None:
    """Not another token's, and no token has one with a database, or one that nobody knows."""
    mine, others = await gate.make(), await gate.make()
    agent, local = await gate.register(mine), await gate.register(None)
    assert await gate.auth.owns(mine, agent)
    assert gate.refused == []
    for token, worker in ((others, agent), (mine, local), (others, local), (mine, new_id())):
        assert not await gate.auth.owns(token, worker)
        event = gate.refused.pop()
        assert event.reason == f"the worker {worker} is not one of this token's"
        assert (event.token, event.group) == (token.id, "gpu")


async def test_a_worker_that_is_registered_again_stays_whose_it_was(gate: Gate) -> None:
    """Whoever guesses its id gets nothing by it."""
    mine, others = await gate.make(), await gate.make()
    agent = await gate.register(mine)
    info = WorkerInfo(
        id=agent, name="w", host="h", pid=1, mode="agent", tags=unranked("red"), lease_s=60.0,
        token=others.id,
    )  # fmt: skip
    await gate.scene.store.register(info)
    assert not await gate.auth.owns(others, agent)
    assert await gate.auth.owns(mine, agent)


async def test_whose_a_worker_is_is_remembered(gate: Gate) -> None:
    """For a while, and only what was found; a refusal may be out of date at once."""
    token = await gate.make()
    early = new_id()
    assert not await gate.auth.owns(token, early)
    gate.scene.do(
        "insert into trioworker.worker (id, name, host, pid, mode, tags, lease_s, token)"
        " values (%s, 'w', 'h', 1, 'agent', '{red}', 60, %s)",
        early,
        token.id,
    )
    for _ in range(3):
        assert await gate.auth.owns(token, early)
    assert sum(s.name == "token_of_worker" for s in gate.scene.statements()) == 2
    gate.scene.do("delete from trioworker.worker")
    assert await gate.auth.owns(token, early)
    gate.now_s += OWNED_S
    assert not await gate.auth.owns(token, early)


async def test_what_is_remembered_is_bounded(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever makes tokens and workers by the thousand fills no memory."""
    monkeypatch.setattr("trioworker.server.auth.KNOWN_MAX", 2)
    tokens = [await gate.make() for _ in range(3)]
    for token in (*tokens, tokens[2], tokens[0]):
        await gate.auth.token(bearing(encode_token(token, SECRET)))
    assert gate.looked_up() == 4


async def test_what_is_logged_steers_no_terminal(gate: Gate) -> None:
    """The path is the sender's to choose: it is cut, and written in letters."""
    event = await gate.refuses(asked(path="/\x1b[2J" + "a" * 1_000))
    assert event.path.isprintable()
    assert len(event.path) < 250
