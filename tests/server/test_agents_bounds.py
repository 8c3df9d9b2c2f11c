"""What agents may say is bounded, and what the server tells them of its own troubles, too."""

import gzip

import pytest
import trio

from tests.server.agents import Line, Server
from tests.server.gate import TERMINATE, held
from tests.server.test_agents_refused import refused
from tests.worker.harness import Rig
from trioworker.events import RequestFailed
from trioworker.ids import new_id
from trioworker.model.options import LABEL_BYTES_MAX, LABELS_MAX
from trioworker.model.progress import Progress
from trioworker.server.errors import NO_DATABASE
from trioworker.store import wire

OK = {"type": "Succeeded", "result": "MQ=="}
ERROR = {"name": "Error", "message": "no"}


@pytest.mark.parametrize(
    "end",
    [
        ({"type": "Retried", "error": ERROR, "delay_s": -1e9}, 0, 0),
        ({"type": "Snoozed", "delay_s": -1.0}, 0, 0),
        ({"type": "Snoozed", "delay_s": 1e300}, 0, 0),
        (OK, -1.0, 0),
        (OK, 1e300, 0),
        (OK, 0, 0, "x" * (wire.LOG_CHARS_MAX + 1)),
        (OK, 0, 0, "nul: \0"),
        (OK, 0, 0, "x", -1),
        (OK, 0, 0, "x", 2**40),
        (OK, 0, 0, "", 0, ["label"] * (LABELS_MAX + 1)),
        (OK, 0, 0, "", 0, ["x" * (LABEL_BYTES_MAX + 1)]),
        (OK, 0, 0, "", 0, [""]),
        (OK, 0, 0, "", 0, [], False, Progress(1.5)),
        ({"type": "Succeeded", "result": ""}, 0, 0),
        ({"type": "Succeeded", "result": "TmFO"}, 0, 0),
        ({"type": "Succeeded", "result": "not base64"}, 0, 0),
        ({"type": "Won"}, 0, 0),
    ],
)
async def test_an_end_out_of_bounds_is_refused(
    end: tuple[object, ...], server: Server, line: Line, rig: Rig
) -> None:
    """Whoever has a token may end its jobs, but not otherwise than a worker of ours would."""
    await rig.enqueue(1)
    token = await server.token()
    worker = await line.registered(token)
    batch = await line.pulled(token, worker)
    [job] = batch["jobs"]
    outcome = [[batch["claim"], job[0], job[1]], *end]
    reply = await line.post("commit", {"worker": worker, "outcomes": [outcome]}, token=token)
    assert reply.status_code in {400, 422}, reply.text
    assert rig.counts() == {"ready": 0, "waiting": 0, "claimed": 1, "completed": 0}


@pytest.mark.parametrize("text", ["x" * (wire.LOG_CHARS_MAX + 1), "nul: \0"])
async def test_what_running_jobs_write_is_bounded(
    text: str, server: Server, line: Line, rig: Rig
) -> None:
    """As that of those that end."""
    await rig.enqueue(1)
    token = await server.token()
    worker = await line.registered(token)
    batch = await line.pulled(token, worker)
    [job] = batch["jobs"]
    said = [[batch["claim"], job[0], job[1]], 0, text]
    reply = await line.post("logs", {"worker": worker, "number": 1, "said": [said]}, token=token)
    assert reply.status_code in {400, 422}, reply.text
    assert rig.query("select * from trioworker.job_log") == []


async def test_a_body_weighs_what_it_is_unpacked(
    server: Server, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However little was sent: what all bodies take up together is bounded."""
    monkeypatch.setattr("trioworker.server.guard.HELD_BYTES_MAX", 900_000)
    token = await server.token()
    worker = await line.registered(token)
    packed = gzip.compress(b'{"worker": "%s"%s}' % (str(worker).encode(), b" " * 1_000_000))
    headers = {"content-encoding": "gzip"}
    refused(await line.post("ping", packed, token=token, **headers), 429)
    monkeypatch.undo()
    assert (await line.post("ping", packed, token=token, **headers)).status_code == 200


async def test_an_outage_is_told_without_its_details(server: Server, line: Line, rig: Rig) -> None:
    """An agent learns of what sort it is; where the database is, is none of its business."""
    token = await server.token()
    replies = []

    async def ask() -> None:
        replies.append(await line.post("ping", wire.Mine(new_id()), token=token))

    with held(rig.url), trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            while not replies:
                rig.query(TERMINATE)
                await trio.sleep(0.02)
    assert refused(replies[0], 503) == NO_DATABASE
    assert replies[0].json()["failure"] == "ConnectionLost"


async def test_a_failure_that_nobody_knows_is_in_the_log(
    server: Server, line: Line, rig: Rig
) -> None:
    """Whoever runs the server reads what it was; the agent reads that it is not its fault."""
    token = await server.token()
    worker = await line.registered(token)
    rig.do("alter table trioworker.claim rename to elsewhere")
    try:
        reply = await line.post("batch_pull", wire.Pull(worker, new_id(), 1), token=token)
    finally:
        rig.do("alter table trioworker.elsewhere rename to claim")
    assert refused(reply, 503) == NO_DATABASE
    [failed] = [event for event in server.events if isinstance(event, RequestFailed)]
    assert "trioworker.claim" in failed.message
