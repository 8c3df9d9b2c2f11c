"""The jobs API: every operation on a real server, database and worker."""

import json
from typing import Any

import httpx
import msgspec
import pytest
import trio

from tests.client.harness import Held, ask, do, working
from tests.server.api import NOWHERE, PATIENCE_S, api, enqueued, result
from trioworker.app import App
from trioworker.client import CHUNK_JOBS_MAX
from trioworker.ids import new_id
from trioworker.model.job_settings import JobSettings
from trioworker.server import shapes

COUNT = "select count(*)::int from trioworker.job"


async def test_a_job_is_enqueued_run_and_its_result_read(database_url: str) -> None:
    """What `POST /api/jobs` stores a worker runs, and `/result` waits for it."""
    held = Held()
    async with api(database_url) as client:
        with working(database_url, held.app):
            job = await enqueued(client, "greet", args={"name": "you"})
            ended = await result(client, job)
            state = (await client.get(f"/api/jobs/{job}")).json()
            logs = (await client.get(f"/api/jobs/{job}/logs")).json()

    assert ended == {"id": job, "state": "success", "result": "Hello, you!", "error": None}
    assert (state["state"], state["args"]) == ("success", {"name": "you"})
    assert logs == {"logs": [{"attempt": 1, "text": "greeting you\n"}]}


async def test_a_failure_is_no_failure_of_the_request(database_url: str) -> None:
    """The result of a job that failed is its error."""
    held = Held()
    async with api(database_url) as client:
        with working(database_url, held.app):
            job = await enqueued(
                client, "fail", args=["no luck"], retry={"attempts": 2, "delay_s": 0}
            )
            ended = await result(client, job)
            attempts = (await client.get(f"/api/jobs/{job}/attempts")).json()["attempts"]

    assert (ended["state"], ended["result"]) == ("failure", None)
    assert (ended["error"]["name"], ended["error"]["message"]) == (
        "ValueError",
        "attempt 2 of 2: no luck",
    )
    assert [one["attempt"] for one in attempts] == [1]


async def test_a_wait_that_is_too_short_says_how_far_the_job_is(database_url: str) -> None:
    """What has not ended is 202, and may be asked for again."""
    async with api(database_url) as client:
        job = await enqueued(client, "later")
        at_once = await client.get(f"/api/jobs/{job}/result")
        waited = await client.get(f"/api/jobs/{job}/result", params={"wait_s": 0.05})

    assert (at_once.status_code, waited.status_code) == (202, 202)
    assert waited.json() == {"id": job, "state": "ready", "result": None, "error": None}


def test_a_request_has_every_setting_of_a_job() -> None:
    """Whatever may be said to a client may be said over HTTP, and by the same name."""
    fields = {field.name for field in msgspec.structs.fields(shapes.NewJobRequest)}

    assert {*JobSettings.__annotations__} <= fields


async def test_all_settings_are_stored(database_url: str) -> None:
    """What is said about a job is what the client would have stored of it."""
    said: dict[str, Any] = {
        "path": "report",
        "args": {"day": 3},
        "tag": "bulk",
        "priority": 7,
        "timeout_s": 1.5,
        "deadline_s": 60,
        "retry": 3,
        "cache_ttl_s": 10,
        "limit": {"slots": 2, "key": "of {day}"},
        "unique": {"key": "u {day}"},
        "on_error": "tell",
        "on_success": {"path": "cheer", "tag": "fun"},
        "muted": True,
        "labels": ["a", "b"],
        "delete_after_s": 5,
    }
    async with api(database_url) as client:
        job = await enqueued(client, **said)

    ((tag, priority, options, created_by),) = ask(
        database_url,
        "select tag, priority, options, created_by from trioworker.job where id = %s",
        job,
    )
    options = options if isinstance(options, dict) else msgspec.json.decode(options)
    assert (tag, priority, created_by) == ("bulk", 7, "http")
    assert options.pop("deadline")
    assert options == {
        "timeout_s": 1.5,
        "retry": {"attempts": 3},
        "cache_ttl_s": 10.0,
        "limit": {"slots": 2, "key": "of 3"},
        "unique": {"key": "u 3"},
        "on_error": {"path": "tell"},
        "on_success": {"path": "cheer", "tag": "fun"},
        "muted": True,
        "labels": ["a", "b"],
        "delete_after_s": 5.0,
    }


async def test_a_request_may_be_repeated(database_url: str) -> None:
    """A job whose id exists is left as it is; one whose key is held is the first one."""
    job = str(new_id())
    async with api(database_url) as client:
        said = [await client.post("/api/jobs", json={"path": "greet", "id": job}) for _ in range(2)]
        first = await enqueued(client, unique={"key": "one"})
        kept = await client.post("/api/jobs", json={"path": "greet", "unique": {"key": "one"}})
        raised = await client.post(
            "/api/jobs",
            json={"path": "greet", "unique": {"key": "one", "on_conflict": "raise"}},
        )

    assert [(one.status_code, one.json()) for one in said] == [
        (201, {"id": job, "new": True}),
        (200, {"id": job, "new": False}),
    ]
    assert (kept.status_code, kept.json()) == (200, {"id": first, "new": False})
    assert raised.status_code == 409
    assert f"is held by job {first}" in raised.json()["error"]


async def test_a_batch_is_stored_in_its_order(database_url: str) -> None:
    """Each job of a batch is answered for, one that comes twice once."""
    job = str(new_id())
    jobs = [{"path": "greet"}, {"path": "greet", "id": job}, {"path": "greet", "id": job}]
    async with api(database_url) as client:
        said = await client.post("/api/jobs/batch", json={"jobs": jobs})

    found = said.json()["jobs"]
    assert said.status_code == 200
    assert [one["new"] for one in found] == [True, True, False]
    assert [one["id"] for one in found[1:]] == [job, job]
    assert ask(database_url, COUNT) == [(2,)]


async def test_a_batch_is_stored_as_a_whole_or_not_at_all(database_url: str) -> None:
    """One job that cannot be keeps all others out."""
    good = [{"path": "greet"}] * 10
    held = {"path": "greet", "unique": {"key": "one", "on_conflict": "raise"}}
    async with api(database_url) as client:
        await enqueued(client, unique={"key": "one"})
        conflict = await client.post("/api/jobs/batch", json={"jobs": [*good, held]})
        bad = await client.post("/api/jobs/batch", json={"jobs": [*good, {"path": ""}]})
        nul = await client.post(
            "/api/jobs/batch", json={"jobs": [*good, {"path": "greet", "args": ["\0"]}]}
        )
        many = await client.post(
            "/api/jobs/batch", json={"jobs": [{"path": "x"}] * (CHUNK_JOBS_MAX + 1)}
        )

    assert [one.status_code for one in (conflict, bad, nul, many)] == [409, 400, 400, 400]
    assert ask(database_url, COUNT) == [(1,)]


@pytest.mark.parametrize(
    ("job", "sentence"),
    [
        ({}, "the body will not do: Object missing required field 'path'"),
        ({"path": "greet", "colour": 1}, "contains unknown field 'colour'"),
        ({"path": "greet", "args": 3}, "args is an object (by name) or an array (by position)"),
        ({"path": "greet", "priority": 5_000}, "<= 1000"),
        ({"path": "greet", "delay_s": -1}, ">= 0"),
        ({"path": "greet", "delay_s": 1, "scheduled_for": "2030-01-01T00:00:00Z"}, "one of the"),
        ({"path": "greet", "scheduled_for": "2030-01-01T00:00:00"}, "timezone"),
        ({"path": "greet", "limit": {"slots": 1, "key": "{who}"}}, "names no argument 'who'"),
        ({"path": "greet", "dedicated": True}, "only a script can be dedicated"),
        ({"path": "nobody"}, "unknown job 'nobody'; this app has fail, greet, hang, hold"),
        ({"path": "greet", "args": {"nam": "you"}}, "nam"),
        ({"path": "greet", "args": ["\ud800"]}, "the body is not JSON"),
    ],
)
async def test_a_job_that_cannot_be_is_refused(
    database_url: str, job: dict[str, object], sentence: str
) -> None:
    """One sentence says what is wrong, the app's own checks included, and nothing is stored."""
    async with api(database_url, app=Held().app) as client:
        said = await client.post("/api/jobs", content=json.dumps(job).encode())

    assert said.status_code == 400, said.text
    assert sentence in said.json()["error"]
    assert ask(database_url, COUNT) == [(0,)]


async def test_what_the_app_says_holds_over_http(database_url: str) -> None:
    """Settings of the function are the job's, unless the request says otherwise."""
    app = App(tag="bulk", retry=3)

    @app.job
    async def tidy() -> None: ...

    async with api(database_url, app=app) as client:
        await enqueued(client, "tidy")
        await enqueued(client, "tidy", tag="mine", retry=None)
        await enqueued(client, "tidy", tag=None, priority=None, labels=None, muted=None)

    stored = ask(database_url, "select tag, options::text from trioworker.job order by id")
    assert [(tag, '"attempts"' in (options or "")) for tag, options in stored] == [
        ("bulk", True),
        ("mine", False),
        ("default", True),
    ]


async def test_jobs_are_listed_page_by_page(database_url: str) -> None:
    """Filters and the cursor give every job that fits once, the newest first."""
    async with api(database_url) as client:
        ids = [await enqueued(client, "a", tag="t") for _ in range(5)]
        await enqueued(client, "b", tag="t")
        await enqueued(client, "a")
        pages: list[list[str]] = []
        cursor: dict[str, str] = {}
        while True:
            params: dict[str, str | int] = {
                "state": "ready",
                "tag": "t",
                "path": "a",
                "limit": 2,
                **cursor,
            }
            page = (await client.get("/api/jobs", params=params)).json()
            if page["next"] is None:
                break
            pages.append([job["id"] for job in page["jobs"]])
            cursor = {"before": page["next"]}

    assert pages == [ids[4:2:-1], ids[2:0:-1], ids[:1]]


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("state=lost", "Invalid enum value 'lost'"),
        ("state=null", "Invalid enum value 'null'"),
        ("before=null", "Invalid UUID"),
        ("limit=0", ">= 1"),
        ("limit=many", "Expected"),
        ("colour=red", "there is an unknown field 'colour'"),
        ("tag=a&tag=b", "a parameter is given twice"),
        ("before=me", "Invalid UUID"),
        ("tag=%00", "the parameters will not do"),
    ],
)
async def test_a_question_that_makes_no_sense_is_refused(
    database_url: str, query: str, sentence: str
) -> None:
    """A filter that is misspelt must not list everything."""
    async with api(database_url) as client:
        said = await client.get(f"/api/jobs?{query}")

    assert said.status_code == 400
    assert sentence in said.json()["error"]


async def test_children_and_steps_of_a_job(database_url: str) -> None:
    """Where the jobs below it stand, and which steps its function need not do again."""
    async with api(database_url) as client:
        job = await enqueued(client, "parent", kind="noop")
        child = await enqueued(client, "child", kind="noop", parent=job)
        do(database_url, "insert into trioworker.job_step values (%s, 'charge', '[1]')", job)
        children = (await client.get(f"/api/jobs/{job}/children")).json()["children"]
        steps = (await client.get(f"/api/jobs/{job}/steps")).json()["steps"]

    assert [(one["id"], one["path"], one["state"]) for one in children] == [
        (child, "child", "ready")
    ]
    assert [(one["name"], one["result"]) for one in steps] == [("charge", [1])]


async def test_a_job_is_canceled_once(database_url: str) -> None:
    """What waits ends at once with its children; what has ended is a conflict."""
    async with api(database_url) as client:
        job = await enqueued(client)
        child = await enqueued(client, parent=job)
        said = await client.post(f"/api/jobs/{job}/cancel", json={"reason": "enough"})
        again = await client.post(f"/api/jobs/{job}/cancel")
        ended = await result(client, job)

    assert (said.status_code, said.json()["state"]) == (200, "canceled")
    assert sorted(said.json()["jobs"]) == sorted([job, child])
    assert again.status_code == 409
    assert again.json()["error"] == f"job {job} has ended before, as canceled"
    assert ended["error"]["message"] == "enough"


async def test_a_running_job_is_asked_to_stop(database_url: str) -> None:
    """Its worker ends it, and until then it goes on."""
    held = Held()
    async with api(database_url) as client:
        with working(database_url, held.app):
            job = await enqueued(client, "hang")
            await trio.to_thread.run_sync(held.begun.wait, PATIENCE_S)
            said = await client.post(f"/api/jobs/{job}/cancel")
            ended = await result(client, job)

    assert (said.status_code, said.json()["state"]) == (202, "asked")
    assert ended["state"] == "canceled"


async def test_a_failed_job_is_retried(database_url: str) -> None:
    """It is ready once more; what has not failed is a conflict."""
    held = Held()
    async with api(database_url) as client:
        with working(database_url, held.app):
            job = await enqueued(client, "fail", args=["once"])
            await result(client, job)
        said = await client.post(f"/api/jobs/{job}/retry")
        again = await client.post(f"/api/jobs/{job}/retry")
        state = (await client.get(f"/api/jobs/{job}")).json()

    assert (said.status_code, said.json()) == (200, {"id": job})
    assert (state["state"], state["attempt"]) == ("ready", 2)
    assert again.status_code == 409
    assert again.json()["error"] == f"job {job} is ready; what failed or was canceled is retried"


@pytest.mark.parametrize(
    ("job", "sentence"),
    [(NOWHERE, f"there is no job {NOWHERE}"), ("me", "there is nothing at this address")],
)
@pytest.mark.parametrize(
    ("method", "rest"),
    [
        ("GET", ""),
        ("GET", "/logs"),
        ("GET", "/attempts"),
        ("GET", "/children"),
        ("GET", "/steps"),
        ("GET", "/result"),
        ("GET", "/events"),
        ("POST", "/cancel"),
        ("POST", "/retry"),
    ],
)
async def test_a_job_that_is_not_there_is_not_found(
    database_url: str, job: str, sentence: str, method: str, rest: str
) -> None:
    """Every operation on a job says so in the same way."""
    async with api(database_url) as client:
        said = await client.request(method, f"/api/jobs/{job}{rest}")

    assert said.status_code == 404
    assert said.json()["error"].startswith(sentence)


async def test_a_page_of_another_site_may_not_ask(database_url: str) -> None:
    """A browser's reader is not made to enqueue jobs, by origin nor by a name that leads here."""
    body = msgspec.json.encode({"path": "greet"})
    async with api(database_url) as client:
        own = {"origin": str(client.base_url).rstrip("/")}
        said = [
            await client.post("/api/jobs", content=body, headers=headers)
            for headers in (
                {"origin": "https://elsewhere.example", "content-type": "text/plain"},
                {"origin": "null"},
                {"host": "elsewhere.example:8600"},
                {"content-type": "text/plain"},
                own,
            )
        ]

    assert [one.status_code for one in said] == [403, 403, 403, 415, 201]
    assert ask(database_url, COUNT) == [(1,)]


async def test_a_client_may_go_while_it_waits(database_url: str) -> None:
    """The next one is served as if it had never been there."""
    async with api(database_url) as client:
        job = await enqueued(client)
        with pytest.raises(httpx.ReadTimeout):
            await client.get(f"/api/jobs/{job}/result", params={"wait_s": 60}, timeout=0.1)
        said = await client.get(f"/api/jobs/{job}")

    assert said.status_code == 200
