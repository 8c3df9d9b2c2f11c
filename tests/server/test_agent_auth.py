"""An agent is who its token says, and whoever has none of ours learns one sentence and no more."""

import base64
import hmac
import json
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import timedelta
from hashlib import sha256
from typing import Any, Final

import pytest
import trio
import trio.testing
from starlette.requests import Request

from tests.server.gate import SECRET, TERMINATE, Gate, asked, bearing, held
from tests.store.postgres.scene import open_scene
from trioworker.errors import ConnectionLost
from trioworker.model.agent_token import TOKEN_CHARS_MAX, encode_token
from trioworker.server.auth import FRESH_S, AgentAuth
from trioworker.server.errors import Forbidden, Unauthorised

OTHER_SECRET: Final = "t" * 64
PUBLIC_KEY: Final = (
    "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A\n-----END PUBLIC KEY-----\n"
)


@pytest.fixture
async def gate(database_url: str) -> AsyncIterator[Gate]:
    """See `Gate`."""
    async with open_scene(database_url) as scene:
        yield Gate(scene)


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
