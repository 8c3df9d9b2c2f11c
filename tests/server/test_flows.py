"""Flows over HTTP: pushed, run, watched and decided about, by whoever has the key."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import httpx
import msgspec
import pytest
import trio

from tests.client.harness import Held, working
from tests.server.api import NOWHERE, PATIENCE_S, api, enqueued, result

ASK: Final[dict[str, Any]] = {
    "type": "approval", "id": "ask", "approvers": ["ann"], "message": "ship it?",
    "form": {"note": {"type": "string", "required": True}},
}  # fmt: skip
ORDER: Final[dict[str, Any]] = {
    "inputs": {"who": {"type": "string"}},
    "steps": [{"type": "function", "id": "greet", "path": "greet"}, ASK],
}
NAME: Final = "shop/order é"
AT: Final = "/api/flows/shop%2Forder%20%C3%A9"


MISTAKEN: Final[Sequence[dict[str, Any]]] = (
    {"args": {"who": 3}}, {"args": []}, {"nonsense": 1}, {"priority": 9999},
)  # fmt: skip


async def pushed(client: httpx.AsyncClient, definition: object = ORDER, path: str = NAME) -> Any:  # noqa: ANN401 - JSON
    """What came of a push."""
    said = await client.post("/api/flows", json={"path": path, "definition": definition})
    assert said.status_code in {200, 201}, said.text
    return said.json()


async def run(client: httpx.AsyncClient, **asked: object) -> str:
    """The id of a new run."""
    said = await client.post(f"{AT}/runs", json=asked)
    assert said.status_code == 201, said.text
    return str(said.json()["id"])


async def waits(client: httpx.AsyncClient, id_: str) -> Any:  # noqa: ANN401 - JSON
    """The run, once it waits for people."""
    with trio.fail_after(PATIENCE_S):
        while True:  # the fact is in the database, which tells nobody
            seen = (await client.get(f"/api/flow_runs/{id_}")).json()
            if seen["approvals"]:
                return seen
            await trio.sleep(0.02)


@pytest.fixture
async def client(database_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a server that knows a flow."""
    async with api(database_url) as client:
        await pushed(client)
        yield client


async def test_a_flow_is_run_watched_and_approved(
    client: httpx.AsyncClient, database_url: str
) -> None:
    """Whatever its name; what waits for people is listed until they have decided."""
    with working(database_url, Held().app):
        id_ = await run(client, args={"who": "Eve"}, priority=3)
        seen = await waits(client, id_)
        listed = (await client.get("/api/approvals")).json()["approvals"]
        said = await client.post(
            f"/api/approvals/{id_}", json={"by": "ann", "approve": True, "form": {"note": "go"}}
        )
        ended = await result(client, id_)
        after = (await client.get("/api/approvals")).json()["approvals"]

    assert (seen["job"]["state"], seen["job"]["waits_for"], seen["version"]) == (
        "waiting", "steps", 1
    )  # fmt: skip
    assert [(one["at"], one["state"]) for one in seen["steps"]] == [
        ("greet", "success"), ("ask", "waiting")
    ]  # fmt: skip
    assert listed == seen["approvals"]
    assert (listed[0]["flow"], listed[0]["path"], listed[0]["approvers"]) == (id_, NAME, ["ann"])
    assert (said.status_code, said.json()) == (
        200, {"id": listed[0]["id"], "at": "ask", "over": True}
    )  # fmt: skip
    assert (ended["state"], ended["result"]["form"]) == ("success", {"note": "go"})
    assert after == []


async def test_flows_are_pushed_and_read(client: httpx.AsyncClient) -> None:
    """A definition equal to the newest makes no version; each version can be read."""
    again = await client.post("/api/flows", json={"path": NAME, "definition": ORDER})
    other = await client.post("/api/flows", json={"path": NAME, "definition": {"steps": [ASK]}})
    listed = (await client.get("/api/flows")).json()["flows"]
    newest, first = (await client.get(AT)).json(), (await client.get(f"{AT}?version=1")).json()

    assert [(one.status_code, one.json()["version"]) for one in (again, other)] == [
        (200, 1), (201, 2)
    ]  # fmt: skip
    assert [(one["path"], one["version"], one["created_by"]) for one in listed] == [
        (NAME, 2, "http")
    ]
    assert (newest["version"], len(newest["definition"]["steps"])) == (2, 1)
    assert (first["version"], len(first["definition"]["steps"])) == (1, 2)


@pytest.mark.parametrize(
    ("definition", "complaint"),
    [
        ({}, "missing required field 'steps'"),
        ([], "the flow does not match its schema at $"),
        ({"steps": []}, "the flow will not do at $.steps: there are no steps"),
        ({"steps": [{"type": "function", "id": "a"}]}, "at $.steps[0]"),
        ({"steps": [{**ASK, "needed": 2}]}, "2 approvals cannot come from 1 approvers"),
        ({"steps": [{**ASK, "message": "nul \x00"}]}, "NUL"),
    ],
)
async def test_a_definition_that_is_none_is_refused(
    client: httpx.AsyncClient, definition: object, complaint: str
) -> None:
    """With the place of the mistake; nothing is stored."""
    said = await client.post("/api/flows", json={"path": "bad", "definition": definition})

    assert said.status_code == 400
    assert complaint in said.json()["error"]
    assert (await client.get("/api/flows/bad")).status_code == 404


async def test_a_run_that_cannot_be_is_refused(client: httpx.AsyncClient) -> None:
    """Of an unknown flow, with input that it does not take; the same id is no second run."""
    once = await client.post(f"{AT}/runs", json={"id": NOWHERE})
    twice = await client.post(f"{AT}/runs", json={"id": NOWHERE})
    refused = [await client.post(f"{AT}/runs", json=asked) for asked in MISTAKEN]
    unknown = await client.post("/api/flows/nothing/runs")
    approval = await client.post("/api/jobs", json={"path": "a", "kind": "approval"})

    assert [one.status_code for one in (once, twice, unknown, approval)] == [201, 200, 404, 400]
    assert [one.status_code for one in refused] == [400] * 4
    assert "'who' in the input of the flow is not of type string" in refused[0].json()["error"]
    assert len((await client.get("/api/jobs")).json()["jobs"]) == 1


async def test_a_decision_that_cannot_be_taken_is_refused(
    client: httpx.AsyncClient, database_url: str
) -> None:
    """With a status for each reason, and nothing is changed by it."""
    with working(database_url, Held().app):
        id_ = await run(client)
        await waits(client, id_)

        async def decide(about: str = id_, **said: object) -> tuple[int, str]:
            body = {"by": "ann", "approve": True, "form": {"note": "x"}} | said
            answer = await client.post(f"/api/approvals/{about}", json=body)
            return answer.status_code, answer.text

        refused = [
            await decide(by="carl"),
            await decide(form={}),
            await decide(step="nowhere"),
            await decide(by=""),
            await decide(NOWHERE),
            await decide(approve="yes"),
        ]
        taken = await decide()
        await result(client, id_)
        late = await decide()
        other = await enqueued(client, "greet")
        unfit = await client.get(f"/api/flow_runs/{other}")

    assert [status for status, _ in refused] == [403, 400, 400, 400, 404, 400]
    assert "'carl' may not decide" in refused[0][1]
    assert (taken[0], late[0]) == (200, 409)
    assert (unfit.status_code, "no run of a flow" in unfit.text) == (404, True)


async def test_the_steps_of_a_run_come_as_events(
    client: httpx.AsyncClient, database_url: str
) -> None:
    """Each time one of them is another; then the end of the run."""
    heard: list[tuple[str, Any]] = []
    with working(database_url, Held().app), trio.fail_after(PATIENCE_S):
        id_ = await run(client)
        async with client.stream("GET", f"/api/jobs/{id_}/events") as stream:
            kind = ""
            async for line in stream.aiter_lines():
                if line.startswith("event: "):
                    kind = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    heard.append((kind, msgspec.json.decode(line.removeprefix("data: "))))
                    if kind == "step" and heard[-1][1]["waits_for"] == "approval":
                        decision = {"by": "ann", "approve": True, "form": {"note": "x"}}
                        await client.post(f"/api/approvals/{id_}", json=decision)

    steps = [(one["at"], one["state"]) for kind, one in heard if kind == "step"]
    assert steps[-1] == ("ask", "success")
    assert ("greet", "success") in steps
    assert (heard[-1][0], heard[-1][1]["state"]) == ("end", "success")
