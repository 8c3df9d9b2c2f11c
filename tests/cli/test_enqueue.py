"""`trioworker enqueue`: what is asked for is stored, all of it or nothing."""

import json
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import psycopg
import pytest

from tests.cli.commands import APP, Run, run_here
from trioworker.ids import new_id


def stored(here: Run) -> list[dict[str, Any]]:
    """All jobs there are, the newest first."""
    found: list[dict[str, Any]] = here("jobs", "list", "--json", "--limit", "10000").document
    return found


def lines(*jobs: object) -> str:
    """Jobs as a file has them."""
    return "".join(f"{json.dumps(job)}\n" for job in jobs)


def test_one_job_prints_its_id_and_nothing_else(here: Run) -> None:
    """`id=$(trioworker enqueue …)` works: the id is all there is on stdout."""
    ended = here("enqueue", "greet", '{"name": "world"}').well()
    (job,) = stored(here)
    assert UUID(ended.output.strip()) == UUID(job["id"])
    assert ended.complaints == ""
    assert (job["kind"], job["path"], job["args"]) == ("function", "greet", {"name": "world"})
    assert (job["state"], job["tag"], job["priority"]) == ("ready", "default", 0)


def test_every_flag_reaches_the_job(here: Run) -> None:
    """Kind, tag and priority are as the flags say; arguments may be a list."""
    here(
        *("enqueue", "tool.py", "[1, 2]", "--kind", "script", "--tag", "tools"),
        *("--priority", "-3", "--timeout", "2.5", "--dedicated"),
    ).well()
    (job,) = stored(here)
    assert (job["kind"], job["path"], job["args"]) == ("script", "tool.py", [1, 2])
    assert (job["tag"], job["priority"]) == ("tools", -3)


def test_flags_say_how_often_and_how_long(database_url: str) -> None:
    """--retry, --timeout and --deadline are the job's options, as the fields of a line are."""
    here = partial(run_here, url=database_url)
    here(
        *("enqueue", "greet", "--retry", "4", "--timeout", "2.5", "--deadline", "600"),
        *("--delay", "60"),
    ).well()
    here(
        *("enqueue", "-", "--retry", "4"),
        stdin=lines(
            {"path": "greet", "deadline_s": 600},
            {"path": "greet", "retry": {"attempts": 2, "only": ["OSError"], "factor": 1}},
        ),
    ).well()
    with psycopg.connect(database_url) as connection:
        flags, line, policy = connection.execute(
            "select options - 'deadline',"
            " extract(epoch from (options->>'deadline')::timestamptz - created_at)::float8,"
            " extract(epoch from ready.scheduled_for - created_at)::float8"
            " from trioworker.job join trioworker.ready using (id) order by id"
        ).fetchall()
    assert flags[0] == {"timeout_s": 2.5, "retry": {"attempts": 4}}
    assert line[0] == {"retry": {"attempts": 4}}
    assert policy[0] == {"retry": {"attempts": 2, "only": ["OSError"], "factor": 1}}
    for _, deadline_s, _ in (flags, line):
        assert deadline_s == pytest.approx(600, abs=60)
    assert flags[2] == pytest.approx(60, abs=30)


def test_count_makes_so_many(here: Run) -> None:
    """--count stores that many jobs, and says how many and which."""
    ended = here("enqueue", "greet", "--count", "1500").well()
    ids = [job["id"] for job in stored(here)]
    assert len(ids) == 1500
    assert ended.output == f"1,500 jobs enqueued, from {ids[-1]} to {ids[0]}\n"


def test_json_lists_every_id(here: Run) -> None:
    """--json prints the ids in the order given, and how many are new."""
    document = here("enqueue", "greet", "--count", "3", "--json").well().document
    assert document == {"ids": [job["id"] for job in reversed(stored(here))], "new": 3}


def test_lines_complete_what_the_flags_say(here: Run) -> None:
    """A line's fields come first, the flags fill in what it leaves open; blank lines are none."""
    file = lines({"path": "greet"}, {"path": "divide", "tag": "fast", "args": [6, 3]})
    ended = here("enqueue", "-", '{"a": 1}', "--tag", "slow", stdin=f"\n{file}\n").well()
    second, first = stored(here)
    assert (first["path"], first["tag"], first["args"]) == ("greet", "slow", {"a": 1})
    assert (second["path"], second["tag"], second["args"]) == ("divide", "fast", [6, 3])
    assert ended.output.startswith("2 jobs enqueued")


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(b"not json", id="no JSON"),
        pytest.param(b"[1]", id="no object"),
        pytest.param(b'{"args": {}}', id="no path"),
        pytest.param(b'{"path": "greet", "priorty": 1}', id="unknown field"),
        pytest.param(b'{"path": "greet", "priority": 1001}', id="priority"),
        pytest.param(b'{"path": "greet", "scheduled_for": "2030-01-01T00:00:00"}', id="no zone"),
        pytest.param(b'{"path": "greet", "retry": 0}', id="no attempts"),
        pytest.param(b'{"path": "greet", "retry": {"delay_s": 1}}', id="no end of attempts"),
        pytest.param(b'{"path": "greet", "deadline_s": 0}', id="deadline"),
        pytest.param(b'{"path": "greet", "args": 3}', id="arguments"),
        pytest.param(b'{"path": "gr\xffeet"}', id="no UTF-8"),
    ],
)
def test_a_bad_line_leaves_nothing_behind(module_url: str, bad: bytes) -> None:
    """The number of the line that will not do is told, and no other line is stored."""
    here = partial(run_here, url=module_url)
    ended = here("enqueue", "-", stdin=b'{"path": "greet"}\n' + bad + b'\n{"path": "greet"}\n')
    assert ended.status == 2
    assert ended.complaints.startswith("trioworker: line 2: ")
    assert ended.complaints.endswith("; nothing was enqueued\n")
    assert ended.complaints.count("\n") == 1
    assert stored(here) == []


def test_no_lines_are_no_jobs(here: Run) -> None:
    """An empty file is not an error; it is said, in case it was meant to have lines."""
    ended = here("enqueue", "-").well()
    assert (ended.output, ended.complaints) == (
        "",
        "trioworker: nothing to enqueue: there is no job on stdin\n",
    )


def test_ids_that_exist_are_left_as_they_are(here: Run) -> None:
    """The same file twice makes no job twice, and the second time says so."""
    kept, added = str(new_id()), str(new_id())
    here("enqueue", "-", stdin=lines({"id": kept, "path": "greet"})).well()
    ended = here("enqueue", "-", stdin=lines({"id": kept, "path": "x"}, {"id": added, "path": "y"}))
    assert ended.well().output == f"1 job enqueued, from {kept} to {added}\n"
    assert ended.complaints == "trioworker: left as before, because their ids exist: 1 job\n"
    assert {job["id"]: job["path"] for job in stored(here)} == {kept: "greet", added: "y"}
    again = here("enqueue", "-", "--json", stdin=lines({"id": kept, "path": "greet"})).well()
    assert again.document == {"ids": [kept], "new": 0}


def test_an_app_checks_names_and_arguments_and_fills_in(here: Run) -> None:
    """With --app the function's own tag and priority hold, and what does not fit it is refused."""
    here("enqueue", "divide", '{"a": 6, "b": 3}', "--app", APP).well()
    (job,) = stored(here)
    assert (job["tag"], job["priority"]) == ("sums", 7)
    for arguments in (["divde"], ["divide", '{"a": 1}'], ["divide", '{"a": 1, "b": "two"}']):
        ended = here("enqueue", *arguments, "--app", APP)
        assert ended.status == 2
        assert ended.complaints.startswith(("trioworker: unknown job", "trioworker: job 'divide'"))
    file = lines({"path": "divide", "args": [1, 2]}, {"path": "divide", "args": [1]})
    assert here("enqueue", "-", "--app", APP, stdin=file).status == 2
    assert len(stored(here)) == 1


def test_what_the_app_says_is_switched_off_by_name(database_url: str) -> None:
    """--without, and null in a line, are what None is in Python."""
    here = partial(run_here, url=database_url)
    plain = ("enqueue", "divide", "[6, 3]", "--app", APP)
    here(*plain, "--without", "priority", "--without", "retry").well()
    here("enqueue", "-", "--app", APP, stdin=lines({"path": "divide", "args": [6, 3], "tag": None}))
    labelled = {"path": "divide", "args": [6, 3], "labels": ["x"], "limit": 2, "muted": True}
    here("enqueue", "-", "--without", "timeout_s", stdin=lines(labelled)).well()
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "select tag, priority, options from trioworker.job order by id"
        ).fetchall()
    assert rows == [
        ("sums", 0, {"retry": None}),
        ("default", 7, None),
        (
            "default",
            0,
            {"timeout_s": None, "limit": {"slots": 2, "key": "divide"}}
            | {"labels": ["x"], "muted": True},
        ),
    ]
    for flags in (["--without", "colour"], ["--without", "tag", "--tag", "fast"]):
        ended = here(*plain, *flags)
        assert ended.status == 2
        assert ended.complaints.startswith(f"trioworker: --without={flags[1]} ")


def test_later_is_by_the_clock_of_the_database(here: Run) -> None:
    """--at and --in keep a job back until then."""
    here("enqueue", "greet", "--at", "2999-01-31T08:00+01:00").well()
    here("enqueue", "greet", "--in", "3600").well()
    delayed, fixed = stored(here)
    assert (delayed["state"], fixed["state"]) == ("scheduled", "scheduled")
    due = datetime.fromisoformat(fixed["scheduled_for"])
    assert due == datetime(2999, 1, 31, 7, tzinfo=UTC)
    waits = datetime.fromisoformat(delayed["scheduled_for"]) - datetime.fromisoformat(
        delayed["created_at"]
    )
    assert timedelta(minutes=59) < waits <= timedelta(hours=1)
