"""Enqueueing one job: what is asked for is what is stored, or one line says why not."""

from datetime import UTC, datetime, timedelta, timezone
from math import inf, nan
from typing import Any, cast

import pytest

from tests.client.harness import ask, new_job, on_both
from trioworker import App, InvalidArguments, UsageError, new_id, open_client

EPOCH = datetime.fromtimestamp(0, UTC)
NAIVE = EPOCH.replace(tzinfo=None)
LATE = datetime.max.replace(tzinfo=timezone(timedelta(hours=-9)))


@on_both
async def test_a_job_is_stored_as_it_was_asked_for(database_url: str) -> None:
    """Every option arrives."""
    due = datetime(2999, 12, 31, 23, 59, tzinfo=timezone(timedelta(hours=9)))
    asked = new_id()
    async with open_client(database_url) as client:
        stored = await client.enqueue(
            "tools/resize.py", {"file": "a.png", "wide": True}, kind="script", tag="images",
            priority=-7, scheduled_for=due, timeout_s=2.5, dedicated=True, language="python",
            awaited=True, id=asked,
        )  # fmt: skip
        job = await client.job(stored)
    assert (job.id, job.path, job.kind) == (asked, "tools/resize.py", "script")
    assert (job.args, job.tag, job.priority) == ({"file": "a.png", "wide": True}, "images", -7)
    assert (job.state, job.scheduled_for, job.attempt) == ("scheduled", due, 1)
    assert ask(database_url, "select options, awaited from trioworker.job") == [
        ({"timeout_s": 2.5, "dedicated": True, "language": "python"}, True)
    ]


@on_both
async def test_what_is_left_open_has_its_default(database_url: str) -> None:
    """A path alone is a function without arguments, due now, for the workers of `default`."""
    async with open_client(database_url) as client:
        job = await client.job(await client.enqueue("greet"))
        assert job.created_at <= await client.now()
    assert (job.kind, job.args, job.tag, job.priority) == ("function", {}, "default", 0)
    assert (job.state, job.scheduled_for) == ("ready", job.created_at)
    assert ask(database_url, "select options, awaited from trioworker.job") == [(None, False)]


@on_both
async def test_arguments_may_be_given_by_position(database_url: str) -> None:
    """A list stays a list, whatever JSON there is in it."""
    args = [1, "ž", None, {"deep": [1.5, True]}]
    async with open_client(database_url) as client:
        assert (await client.job(await client.enqueue("greet", args))).args == args


@on_both
async def test_a_delay_is_measured_by_the_clock_of_the_database(database_url: str) -> None:
    """Due after now plus the delay, before any later now plus the delay."""
    async with open_client(database_url) as client:
        before = await client.now()
        job = await client.job(await client.enqueue("greet", delay_s=3600))
        after = await client.now()
    assert job.scheduled_for is not None
    assert before <= job.scheduled_for - timedelta(hours=1) <= after
    assert job.state == "scheduled"


@on_both
async def test_a_delay_of_nothing_and_a_time_long_ago_are_due_now(database_url: str) -> None:
    """Neither is a mistake."""
    async with open_client(database_url) as client:
        jobs = [
            await client.enqueue("greet", delay_s=0),
            await client.enqueue("greet", scheduled_for=EPOCH),
        ]
        assert [(await client.job(job)).state for job in jobs] == ["ready", "ready"]


@on_both
async def test_the_same_id_twice_is_one_job_and_the_first(database_url: str) -> None:
    """An enqueue whose answer was lost may be repeated."""
    async with open_client(database_url) as client:
        job = await client.enqueue("greet", {"name": "first"}, tag="a")
        assert await client.enqueue("greet", {"name": "second"}, tag="b", id=job) == job
        assert (await client.job(job)).args == {"name": "first"}
    assert ask(database_url, "select id, tag from trioworker.ready") == [(job, "a")]


@on_both
async def test_an_app_fills_in_what_is_left_open(database_url: str) -> None:
    """Tag, priority and timeout are the function's, unless the call says otherwise."""
    async with open_client(database_url, app=shop()) as client:
        plain = await client.enqueue("send", {"to": "me"})
        said = await client.enqueue("send", ["me"], tag="fast", priority=0, timeout_s=1.5)
        script = await client.enqueue("send", {"anything": 1}, kind="script")
    assert ask(
        database_url,
        "select id, tag, priority, options from trioworker.job order by id",
    ) == [
        (plain, "mail", 5, {"timeout_s": 60.0}),
        (said, "fast", 0, {"timeout_s": 1.5}),
        (script, "default", 0, None),
    ]


def shop() -> App:
    """An app of one job."""
    app = App()

    @app.job(tag="mail", priority=5, timeout_s=60)
    async def send(to: str) -> str:
        return to

    return app


NAIVE = EPOCH.replace(tzinfo=None)
LATE = datetime.max.replace(tzinfo=timezone(timedelta(hours=-9)))


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        ({"path": ""}, "the path is empty"),
        ({"path": "x" * 1001}, "the path is too long: 1001 bytes, at most 1000"),
        ({"path": "a\0b"}, "the path contains a NUL character, which PostgreSQL cannot store"),
        ({"tag": ""}, "the tag is empty"),
        ({"tag": "ž" * 61}, "the tag is too long: 122 bytes, at most 120"),
        ({"priority": 1001}, "priority 1001 is out of range; it goes from -1000 to 1000, higher"),
        ({"kind": "magic"}, "unknown job kind 'magic'; one of function, script, noop, identity"),
        ({"args": {"x": "y" * (16 << 20)}}, "arguments of 16,777,224 bytes are too large; at most"),
        ({"delay_s": -1}, "a delay of -1 s will not do; it must be 0 or more"),
        ({"delay_s": inf}, "a delay of inf s will not do; it must be 0 or more"),
        ({"delay_s": nan}, "a delay of nan s will not do; it must be 0 or more"),
        ({"delay_s": 1e15}, "a delay of 1000000000000000.0 s leads past all calendars"),
        ({"delay_s": 1, "scheduled_for": EPOCH}, "a job is due at a time or after a delay; give"),
        ({"scheduled_for": NAIVE}, "the time 1970-01-01 00:00:00 has no time zone; give it one"),
        ({"timeout_s": 0}, "a timeout of 0 s will not do; it must be above 0"),
        ({"timeout_s": inf}, "a timeout of inf s will not do; it must be above 0"),
        ({"timeout_s": nan}, "a timeout of nan s will not do; it must be above 0"),
        ({"retry": 0}, "a retry policy of 0 attempts will not do; at least 1, the first included"),
        ({"retry": "3"}, "retry='3' will not do; it is RetryPolicy or int or None"),
        ({"limit": 0}, "a limit of 0 jobs would let none run; at least 1"),
        ({"limit": 1.5}, "limit=1.5 will not do; it is Limit or int or None"),
        ({"labels": "x"}, "labels='x' will not do; it is a list of texts or None"),
        ({"restart": "no"}, "restart='no' will not do; it is bool or None"),
        ({"retries": 3}, "unknown setting 'retries'; one of tag, priority, timeout_s, deadline_s,"),
        ({"args": {"x": "a\0b"}}, "the database refuses the job 'greet': unsupported Unicode"),
        ({"path": "\ud800"}, "the database refuses the job '\\ud800': invalid input for"),
        ({"scheduled_for": LATE}, "the database refuses the job 'greet': invalid input for query"),
    ],
)
@on_both
async def test_what_cannot_be_is_told_in_one_line(
    database_url: str, asked: dict[str, Any], line: str
) -> None:
    """The line names what is wrong and its bound, and nothing is stored."""
    async with open_client(database_url) as client:
        with pytest.raises(UsageError) as caught:
            await client.enqueue(**({"path": "greet"} | asked))
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)
    assert stored(database_url) == 0


@pytest.mark.parametrize(
    ("args", "line"),
    [
        ("x", "job 'greet': arguments are a dict (by name) or a list (by position), not"),
        ({"x": object()}, "job 'greet': the arguments cannot be JSON: Encoding objects"),
        ({"x": "\ud800"}, "job 'greet': the arguments cannot be JSON: 'utf-8' codec"),
    ],
)
@on_both
async def test_arguments_that_json_cannot_hold_are_refused(
    database_url: str, args: object, line: str
) -> None:
    """Before anything is asked of the database."""
    async with open_client(database_url) as client:
        with pytest.raises(InvalidArguments) as caught:
            await client.enqueue("greet", cast("Any", args))
    assert str(caught.value).startswith(line)
    assert stored(database_url) == 0


@pytest.mark.parametrize(
    ("path", "args", "line"),
    [
        ("greet", {}, "unknown job 'greet'; this app has send"),
        ("send", {}, "job 'send': the argument 'to' is missing"),
        ("send", {"to": 1}, "job 'send': the argument 'to': expected str, got int"),
        ("send", {"to": "me", "cc": "you"}, "job 'send': there is no argument 'cc'; it takes to"),
        ("send", ["me", "you"], "job 'send': 2 arguments by position are too many; it takes to"),
    ],
)
@on_both
async def test_with_an_app_a_job_that_it_cannot_run_is_not_enqueued(
    database_url: str, path: str, args: object, line: str
) -> None:
    """The mistake is told where it was made, not later in a worker."""
    async with open_client(database_url, app=shop()) as client:
        with pytest.raises(UsageError) as caught:
            await client.enqueue(path, cast("Any", args))
        with pytest.raises(UsageError) as caught_among_many:
            await client.enqueue_many([new_job(path, args)])
    assert str(caught.value) == str(caught_among_many.value)
    assert str(caught.value).startswith(line)
    assert stored(database_url) == 0


def stored(url: str) -> int:
    """How many jobs there are."""
    count: int = ask(url, "select count(*) from trioworker.job")[0][0]
    return count
