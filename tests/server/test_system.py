"""Schedules, workers, health, metrics and the description, over HTTP."""

import re
from typing import Final

import pytest
import trio

from tests.client.harness import Held, ask, own_server, working
from tests.server.api import NOWHERE, PATIENCE_S, api, enqueued, result
from trioworker.client import open_client
from trioworker.server.errors import NO_DATABASE, Unauthorised

NAME: Final = "every/day é"
AT: Final = "/api/schedules/every%2Fday%20%C3%A9"


async def test_a_schedule_is_paused_resumed_and_run(database_url: str) -> None:
    """What the commands do to a schedule can be done over HTTP, whatever its name."""
    async with open_client(database_url) as own:
        await own.schedules.add(NAME, "greet", cron="0 3 * * *")
    async with api(database_url) as client:
        listed = (await client.get("/api/schedules")).json()["schedules"]
        paused = (await client.post(f"{AT}/pause")).json()
        resumed = (await client.post(f"{AT}/resume")).json()
        job = (await client.post(f"{AT}/run")).json()["job"]
        state = (await client.get(f"/api/jobs/{job}")).json()
        nobody = await client.post("/api/schedules/nobody/run")

    assert [(one["name"], one["state"], one["cron"]) for one in listed] == [
        (NAME, "active", "0 3 * * *")
    ]
    assert (paused["state"], resumed["state"], state["path"]) == ("paused", "active", "greet")
    assert nobody.status_code == 404
    assert "there is no schedule 'nobody'" in nobody.json()["error"]


async def test_workers_are_listed(database_url: str) -> None:
    """Who works is known by name, state and counts."""
    async with api(database_url) as client:
        with working(database_url, Held().app):
            found = (await client.get("/api/workers")).json()["workers"]

    assert [(one["name"], one["state"], one["tags"]) for one in found] == [
        ("test", "alive", ["default"])
    ]


class Nobody:
    """Keys that fit nobody."""

    def check(self, _request: object) -> None:
        """Nobody may."""
        raise Unauthorised("a key is needed")


async def test_everything_but_health_needs_the_key(database_url: str) -> None:
    """Without the key nobody learns more than whether the server is there and ready."""
    async with api(database_url) as client:
        document = (await client.get("/openapi.json")).json()
    async with api(database_url, keys=Nobody()) as client:
        assert (await client.get("/openapi.json")).status_code == 401
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                said = await client.request(method, path.replace("{id}", NOWHERE))
                open_to_all = path in {"/health", "/ready"}
                assert said.status_code == (200 if open_to_all else 401), path
                assert ("security" in operation) is not open_to_all


async def test_ready_is_whether_the_database_takes_writes() -> None:
    """A server is healthy without its database, but not ready, and says no more than that."""
    with own_server() as server:
        async with api(server.url) as client:
            ready = await client.get("/ready")
            await server.stop()
            healthy, unready = await client.get("/health"), await client.get("/ready")
            listed = await client.get("/api/jobs")
            figures = await client.get("/metrics")
            await server.start()
            again = await client.get("/ready")

    assert [one.status_code for one in (ready, healthy, unready, listed, again)] == [
        200, 200, 503, 503, 200,
    ]  # fmt: skip
    assert unready.json() == listed.json() == {"error": NO_DATABASE}
    assert unready.headers["retry-after"] == "1"
    assert "\ntrioworker_database_up 0.0\n" in figures.text


async def test_metrics_count_what_happened(database_url: str) -> None:
    """Requests by route and status, statements by name, and the queue as it is when asked."""
    async with api(database_url) as client:
        await enqueued(client, "greet", tag="mail")
        await enqueued(client, "greet", tag="mail", delay_s=1_000)
        await client.get(f"/api/jobs/{NOWHERE}")
        await client.request("MADEUP", "/made/up/too")
        said = await client.get("/metrics")

    figures = dict(re.findall(r"^(\w+(?:\{.*\})?) ([\d.e+-]+)$", said.text, re.MULTILINE))
    assert said.headers["content-type"].startswith("text/plain; version=")
    assert figures['trioworker_queue_jobs{state="ready",tag="mail"}'] == "1.0"
    assert figures['trioworker_queue_jobs{state="scheduled",tag="mail"}'] == "1.0"
    requests = "trioworker_http_requests_total"
    assert figures[f'{requests}{{method="POST",route="/api/jobs",status="201"}}'] == "2.0"
    assert figures[f'{requests}{{method="GET",route="/api/jobs/{{id}}",status="404"}}'] == "1.0"
    assert figures[f'{requests}{{method="other",route="",status="404"}}'] == "1.0"
    assert figures['trioworker_statements_total{name="enqueue"}'] == "2.0"
    assert "made" not in said.text.lower()
    assert NOWHERE not in said.text


async def test_a_crowd_of_waits_takes_few_connections(database_url: str) -> None:
    """A hundred clients that wait for results share the connections of the server."""
    app = Held().app
    seen: list[int] = []
    async with api(database_url) as client, trio.open_nursery() as nursery:
        jobs = [await enqueued(client) for _ in range(100)]
        done: list[str] = []
        all_done = trio.Event()

        async def wait(job: str) -> None:
            done.append((await result(client, job))["state"])
            if len(done) == len(jobs):
                all_done.set()

        for job in jobs:
            nursery.start_soon(wait, job)
        ((count,),) = ask(
            database_url,
            "select count(*)::int from pg_stat_activity"
            " where datname = current_database() and application_name like 'trioworker %%'",
        )
        seen.append(count)
        with trio.fail_after(PATIENCE_S), working(database_url, app):
            await all_done.wait()

    assert done == ["success"] * 100
    assert seen[0] <= 8


@pytest.mark.parametrize("path", ["/openapi.json", "/health"])
async def test_nothing_is_kept_by_caches(database_url: str, path: str) -> None:
    """What a proxy would keep is old at once."""
    async with api(database_url) as client:
        said = await client.get(path)

    assert said.headers["cache-control"] == "no-store"
