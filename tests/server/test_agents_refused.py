"""What is tried with the agents API by those who may not: one sentence, and nothing has changed."""

import gzip
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx
import pytest
import trio

from tests.server.agents import SECRET, Line, Server
from tests.server.serving import said_to
from tests.server.test_agents_again import ended
from tests.worker.harness import Rig
from trioworker.ids import new_id
from trioworker.server.guard import BODY_BYTES_MAX
from trioworker.settings import Address
from trioworker.store import wire

WORKER = UUID(int=7)
BODIES: Mapping[str, object] = {
    "register": wire.Register(WORKER, "a", "h", 1, "agent", 60.0),
    "retire": wire.Mine(WORKER),
    "heartbeat": {"worker": WORKER, "counters": {"done": 0, "failed": 0, "running": 0}},
    "batch_pull": wire.Pull(WORKER, new_id(), 10),
    "pull": wire.Pull(WORKER, new_id()),
    "adopt": wire.Adopt(WORKER, []),
    "batch_commit": {"worker": WORKER, "outcomes": []},
    "commit": {"worker": WORKER, "outcomes": []},
    "give_back": {"worker": WORKER, "jobs": []},
    "cached_results": wire.Cached(WORKER, ["key"]),
    "logs": wire.Logs(WORKER, 1, []),
    "next_due": wire.Mine(WORKER),
    "ping": wire.Mine(WORKER),
    "listen": wire.Listen(WORKER, 0.0),
}


def refused(reply: httpx.Response, status: int) -> str:
    """The one sentence of a refusal, in which nothing of the inside is told."""
    assert reply.status_code == status, reply.text
    sentence = reply.json()["error"]
    assert isinstance(sentence, str)
    for inside in ("Traceback", "trioworker.", "select ", SECRET):
        assert inside not in sentence
    return sentence


@pytest.mark.parametrize("path", BODIES)
async def test_nothing_is_answered_without_a_token(path: str, line: Line, rig: Rig) -> None:
    """Whatever is asked, and not before the token was looked at."""
    refused(await line.post(path, BODIES[path]), 401)
    refused(await line.post(path, b"no JSON"), 401)
    assert rig.query("select * from trioworker.worker") == []


@pytest.mark.parametrize("path", [path for path in BODIES if path != "register"])
async def test_nothing_is_answered_for_another_tokens_worker(
    path: str, server: Server, line: Line, rig: Rig
) -> None:
    """Nor for one that nobody has registered: which of the two it is nobody learns."""
    jobs = await rig.enqueue(3)
    stranger = await server.token(group="others")
    unknown = await line.post(path, BODIES[path], token=stranger)
    await line.registered(await server.token(), WORKER)
    others = await line.post(path, BODIES[path], token=stranger)
    if unknown.status_code == 400:  # its body will not do for anybody
        return
    assert refused(unknown, 403) == refused(others, 403)
    assert rig.counts() == {"ready": len(jobs), "waiting": 0, "claimed": 0, "completed": 0}


async def test_a_worker_is_not_taken_over(server: Server, line: Line, rig: Rig) -> None:
    """To register another token's worker changes nothing of it."""
    await line.registered(await server.token(), WORKER)
    before = rig.query("select * from trioworker.worker")
    reply = await line.post("register", BODIES["register"], token=await server.token())
    refused(reply, 403)
    assert rig.query("select * from trioworker.worker") == before


async def test_a_claim_of_another_group_is_not_committed(
    server: Server, line: Line, rig: Rig
) -> None:
    """To know its ids is of no use: they are lost to everyone but its worker."""
    await rig.enqueue(2, tag="secret")
    mine, theirs = await server.token("default"), await server.token("secret")
    worker, other = await line.registered(mine), await line.registered(theirs)
    batch = await line.pulled(theirs, other)
    outcomes = ended(batch)
    reply = await line.post("batch_commit", wire.Commit(worker, outcomes), token=mine)
    assert sorted(reply.json()["lost"]) == sorted(str(one.job.id) for one in outcomes)
    given = wire.GiveBack(worker, [one.job for one in outcomes])
    reply = await line.post("give_back", given, token=mine)
    assert len(reply.json()["lost"]) == 2
    said = wire.Logs(worker, 1, [wire.Written(outcomes[0].job, 0, "forged\n")])
    await line.post("logs", said, token=mine)
    adopted = await line.post("adopt", wire.Adopt(worker, []), token=mine)
    assert adopted.json() == {"batches": []}
    assert rig.counts() == {"ready": 0, "waiting": 0, "claimed": 2, "completed": 0}
    assert rig.query("select * from trioworker.job_log") == []


async def test_a_job_of_another_tag_is_not_pulled(server: Server, line: Line, rig: Rig) -> None:
    """Tags in the request, or in its floors, are nothing to the server."""
    await rig.enqueue(2, tag="secret")
    token = await server.token("default")
    worker = await line.registered(token)
    asked = {
        "worker": worker,
        "claim": new_id(),
        "batch_size": 10,
        "tags": ["secret"],
        "floors": {
            "tags": ["secret"],
            "priorities": [0],
            "scheduled_for": [datetime.now(UTC) - timedelta(days=1)],
            "ids": [UUID(int=0)],
        },
    }
    reply = await line.post("batch_pull", asked, token=token)
    assert reply.json()["jobs"] == []
    assert rig.counts()["ready"] == 2


async def test_results_of_others_are_not_told(server: Server, line: Line, rig: Rig) -> None:
    """A kept result is for who has a job in hands that asks for it."""
    rig.do(
        "insert into trioworker.result_cache (key, job, result, expires_at)"
        " values ('known', gen_random_uuid(), '\"secret\"', now() + interval '1 day')"
    )
    token = await server.token()
    worker = await line.registered(token)
    reply = await line.post("cached_results", wire.Cached(worker, ["known"]), token=token)
    assert reply.json() == {"results": {}}


async def test_a_revoked_token_ends_its_workers(server: Server, line: Line, rig: Rig) -> None:
    """At once for a server that has not seen it, and after a second or so for one that has."""
    await rig.enqueue(1)
    token = await server.token()
    await line.registered(token, WORKER)
    rig.do("update trioworker.agent_token set revoked_at = now()")
    with trio.fail_after(30):
        asked = wire.Mine(WORKER)
        while (  # noqa: ASYNC110 - the fact is in the database
            reply := await line.post("ping", asked, token=token)
        ).status_code == 200:
            await trio.sleep(0.1)
    refused(reply, 401)
    refused(await line.post("batch_pull", wire.Pull(WORKER, new_id(), 1), token=token), 401)
    assert rig.counts()["ready"] == 1


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        ("batch_pull", b"{", "not JSON"),
        ("batch_pull", b"\xff", "not JSON"),
        ("batch_pull", b'{"more": ' + b"[" * 100_000, "nested too deeply"),
        ("batch_pull", b"[]", "array"),
        ("batch_pull", {"worker": str(WORKER)}, "claim"),
        ("batch_pull", wire.Pull(WORKER, new_id(), 1_000_000), "10000"),
        ("batch_pull", wire.Pull(WORKER, new_id(), 0), ">= 1"),
        ("pull", wire.Pull(WORKER, new_id(), 2), "one job"),
        ("batch_commit", {"worker": str(WORKER), "outcomes": []}, ">= 1"),
        (
            "register",
            wire.Register(WORKER, "a" * 1_000, "h", 1, "agent", 60.0),
            "length",
        ),
        ("register", wire.Register(WORKER, "a", "h", 1, "agent", 1e9), "3600"),
        ("listen", wire.Listen(WORKER, 1e9), "30"),
    ],
)
async def test_nonsense_is_told_in_a_sentence(
    path: str, body: object, told: str, server: Server, line: Line
) -> None:
    """And what would cost the server much is refused before it does."""
    token = await server.token()
    await line.registered(token, WORKER)
    assert told in refused(await line.post(path, body, token=token), 400)


async def test_a_body_is_bounded(server: Server, line: Line) -> None:
    """Also one that is small until it is unpacked."""
    token = await server.token()
    big = b'{"worker": "%s"' % (b" " * (BODY_BYTES_MAX + 1))
    refused(await line.post("ping", big, token=token), 413)
    packed = gzip.compress(big, 1)
    assert len(packed) < BODY_BYTES_MAX // 100
    refused(await line.post("ping", packed, token=token, **{"content-encoding": "gzip"}), 413)


@pytest.mark.parametrize("encoding", ["gzip", "br", "gzip, gzip"])
async def test_a_body_that_cannot_be_unpacked(server: Server, line: Line, encoding: str) -> None:
    """It is told so."""
    token = await server.token()
    reply = await line.post("ping", b"not packed", token=token, **{"content-encoding": encoding})
    assert "gzip" in refused(reply, 400)


async def test_two_requests_do_not_become_one(server: Server) -> None:
    """A request with two lengths, or a length and chunks, is ended and not guessed at."""
    address = Address(*_host_and_port(server.address))
    for heads in (
        b"content-length: 5\r\ncontent-length: 6\r\n",
        b"content-length: 5\r\ntransfer-encoding: chunked\r\n",
        b"transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n",
        b"content-length : 5\r\n",
    ):
        smuggled = (
            b"POST /api/agent_workers/ping HTTP/1.1\r\nhost: x\r\n" + heads + b"\r\n"
            b"0\r\n\r\nGET /api/agent_workers/smuggled HTTP/1.1\r\nhost: x\r\n\r\n"
        )
        said = await said_to(address, smuggled)
        assert said.count(b"HTTP/1.1") <= 1
        assert b"smuggled" not in said


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.removeprefix("http://").rpartition(":")
    return host, int(port)
