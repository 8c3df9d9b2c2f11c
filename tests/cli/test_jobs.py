"""`trioworker jobs` and `trioworker workers`: what they show is what is stored."""

import json
import os
from collections.abc import Sequence
from functools import partial
from typing import Any
from uuid import UUID

import pytest

from tests.cli.commands import APP, Ended, Run, run_here
from trioworker.ids import new_id

GREETED, FAILED, LATER, READY = (str(new_id()) for _ in range(4))
SHELF = (
    {"id": GREETED, "path": "greet", "args": {"name": "world"}},
    {"id": FAILED, "path": "divide", "args": [1, 0], "tag": "sums"},
    {"id": LATER, "path": "greet", "args": {"name": "later"}, "delay_s": 3600},
    {"id": READY, "path": "divide", "args": {"a": 1, "b": 2}, "tag": "idle", "priority": 5},
)
NOBODY = "00000000-0000-7000-8000-000000000000"


def lines(jobs: Sequence[object]) -> str:
    """Jobs as a file has them."""
    return "\n".join(map(json.dumps, jobs))


@pytest.fixture(scope="module")
def shelf(module_url: str) -> Run:
    """Commands on the jobs of SHELF, after a worker has done what it could. To look at only."""
    here = partial(run_here, url=module_url)
    here("enqueue", "-", stdin=lines(SHELF)).well()
    here("run", APP, "--drain", "--tags", "default,sums").well()
    return here


def rows(ended: Ended) -> list[list[str]]:
    """The cells of a printed table, without its head; they are two blanks apart."""
    printed = ended.well().output.splitlines()[1:]
    return [[cell.strip() for cell in line.split("  ") if cell] for line in printed]


def test_list_is_a_table_of_whole_lines(shelf: Run) -> None:
    """In a pipe every job is one line with its whole id and what came of it, newest first."""
    ended = shelf("jobs", "list")
    assert ended.output.startswith("id   ")
    table = rows(ended)
    assert [row[0] for row in table] == [READY, LATER, FAILED, GREETED]
    assert [row[1] for row in table] == ["ready", "scheduled", "failure", "success"]
    assert table[2][-1] == "ZeroDivisionError: division by zero"
    assert table[3][-1] == '"Hello, world!"'


@pytest.mark.parametrize(
    ("filters", "ids"),
    [
        (["--state", "failure"], [FAILED]),
        (["--state", "scheduled"], [LATER]),
        (["--state", "running"], []),
        (["--tag", "idle"], [READY]),
        (["--path", "greet"], [LATER, GREETED]),
        (["--path", "greet", "--state", "success"], [GREETED]),
        (["--limit", "2"], [READY, LATER]),
    ],
)
def test_filters_choose(shelf: Run, filters: Sequence[str], ids: Sequence[str]) -> None:
    """State, tag and path leave only what fits them, as a table and as JSON."""
    assert [row[0] for row in rows(shelf("jobs", "list", *filters))] == ids
    document = shelf("jobs", "list", "--json", *filters).well().document
    assert [job["id"] for job in document] == ids


def test_show_says_all_there_is(shelf: Run) -> None:
    """A line per fact; the traceback of a failure comes last, as it is."""
    shown = shelf("jobs", "show", FAILED).well().output
    facts = dict(line.split(maxsplit=1) for line in shown.partition("traceback")[0].splitlines())
    assert facts.keys() >= {"created_at", "started_at", "completed_at", "worker", "duration_ms"}
    assert facts["args"] == "[1,0]"
    assert facts["error"] == "ZeroDivisionError: division by zero"
    assert "return a / b" in shown.partition("traceback")[2]
    assert "result        " in shelf("jobs", "show", GREETED).output


def test_show_as_json_has_the_same(shelf: Run) -> None:
    """--json prints one object with every field, typed."""
    job = shelf("jobs", "show", GREETED, "--json").well().document
    assert (job["id"], job["state"], job["result"]) == (GREETED, "success", "Hello, world!")
    assert job["args"] == {"name": "world"}
    failed = shelf("jobs", "show", FAILED, "--json").well().document
    assert (failed["error"]["name"], failed["attempt"]) == ("ZeroDivisionError", 1)


def test_logs_print_what_the_job_wrote(shelf: Run) -> None:
    """The text as it was written; as JSON with its attempt; nothing where nothing was written."""
    assert shelf("jobs", "logs", GREETED).well().output == "about to greet world\n"
    assert shelf("jobs", "logs", GREETED, "--json").well().document == [
        {"attempt": 1, "text": "about to greet world\n"}
    ]
    assert shelf("jobs", "logs", READY).well().output == ""


def test_wait_prints_results_and_reasons(shelf: Run) -> None:
    """Results on stdout, the reason of a failure on stderr, and then it fails."""
    assert shelf("jobs", "wait", GREETED).well().output == '"Hello, world!"\n'
    ended = shelf("jobs", "wait", FAILED, GREETED)
    assert (ended.status, ended.output) == (1, '"Hello, world!"\n')
    assert ended.complaints == (
        f"trioworker: job {FAILED} ended as failure: ZeroDivisionError: division by zero\n"
    )
    document = shelf("jobs", "wait", GREETED, FAILED, "--json").document
    assert [job["state"] for job in document] == ["success", "failure"]


def test_wait_gives_up_in_time(shelf: Run) -> None:
    """With --timeout it says how the job stands and fails; the job is left in peace."""
    ended = shelf("jobs", "wait", READY, "--timeout", "0.01")
    assert (ended.status, ended.output) == (1, "")
    assert ended.complaints == f"trioworker: job {READY} is ready after 0.01 s of waiting\n"


@pytest.mark.parametrize("command", ["show", "wait", "logs"])
def test_an_unknown_id_is_told(shelf: Run, command: str) -> None:
    """There is no such job, and the line says which."""
    ended = shelf("jobs", command, NOBODY)
    assert (ended.status, ended.output) == (2, "")
    assert ended.complaints == f"trioworker: there is no job {NOBODY}\n"


def test_workers_show_what_they_did(shelf: Run) -> None:
    """One that has ended counts all its jobs, although it lived less than a heartbeat."""
    (row,) = rows(shelf("workers"))
    assert row[1:6] == [
        os.uname().nodename,
        str(os.getpid()),
        "standalone",
        "default,sums",
        "stopped",
    ]
    assert row[-3:] == ["0", "2", "1"]
    (worker,) = shelf("workers", "--json").well().document
    assert UUID(worker["id"]) == UUID(row[0])
    assert (worker["jobs_done"], worker["jobs_failed"], worker["claimed"]) == (2, 1, 0)


def test_workers_show_how_they_rank_their_tags(here: Run) -> None:
    """As it was said at their start; JSON has the tags and their ranks apart."""
    here("run", APP, "--drain", "--tags", "sums=10, default,a=b=0").well()
    (row,) = rows(here("workers"))
    assert row[4] == "sums=10,default,a=b=0"
    (worker,) = here("workers", "--json").well().document
    assert (worker["tags"], worker["ranks"]) == (["sums", "default", "a=b"], [10, 0, 0])


def test_show_tells_where_a_job_stands_in_line(here: Run) -> None:
    """For a slot of which key it waits, who is before it, and when it is due."""
    ids = [str(new_id()) for _ in range(3)]
    job = {"path": "greet", "limit": {"slots": 1, "key": "the door"}, "args": {"name": "you"}}
    lines_ = [json.dumps({"id": id_, **job}) for id_ in ids]
    here("enqueue", "-", stdin="\n".join(lines_)).well()
    shown = [
        line.split(maxsplit=1) for line in here("jobs", "show", ids[2]).well().output.splitlines()
    ]
    assert ["key", "the door"] in shown
    assert [
        fact for fact in shown if fact[0] in {"place", "slots", "taken", "spent", "opens_at"}
    ] == [["place", "2"], ["slots", "1"], ["taken", "1"], ["spent", "0"]]
    document = here("jobs", "show", ids[2], "--json").well().document
    assert (document["in_line"]["key"], document["in_line"]["place"]) == ("the door", 2)
    assert here("jobs", "show", ids[0], "--json").well().document["in_line"] is None


def test_show_has_the_attempts_that_came_before(here: Run) -> None:
    """A line for each, before the error that was the last; as JSON a list."""
    job = str(new_id())
    retry = {"attempts": 3, "delay_s": 0.0}
    line = json.dumps({"id": job, "path": "divide", "args": [1, 0], "retry": retry})
    here("enqueue", "-", stdin=line).well()
    here("run", APP, "--drain").well()
    shown = here("jobs", "show", job).well().output
    said = "ZeroDivisionError: division by zero"
    facts = [line.split(maxsplit=1) for line in shown.partition("traceback")[0].splitlines()]
    earlier = [rest for name, rest in facts if name == "attempt" and said in rest]
    assert [rest.partition(" ")[0] for rest in earlier] == ["1", "2"]
    assert ["error", "ZeroDivisionError: attempt 3 of 3: division by zero"] in facts
    document = here("jobs", "show", job, "--json").well().document
    assert [(one["attempt"], one["error"]["name"]) for one in document["attempts"]] == [
        (1, "ZeroDivisionError"),
        (2, "ZeroDivisionError"),
    ]


def test_show_has_the_children_and_the_steps(here: Run) -> None:
    """How many children stand where, then each of them; and what each step returned."""
    parent, children = str(new_id()), [str(new_id()) for _ in range(2)]
    job = {"id": parent, "path": "greet", "args": ["me"], "delay_s": 60}
    below = [{"id": id_, "path": "greet", "args": ["you"], "parent": parent} for id_ in children]
    here("enqueue", "-", stdin="\n".join(map(json.dumps, [job, *below]))).well()
    here("run", APP, "--drain").well()
    shown = here("jobs", "show", parent).well().output
    facts = [line.split(maxsplit=1) for line in shown.splitlines()]
    assert ["children", "2 success"] in facts
    told = [rest for name, rest in facts if name == "child"]
    assert [rest.partition(" ms")[0].rpartition(",")[0] for rest in told] == [
        f"{id_} greet: success" for id_ in children
    ]
    document = here("jobs", "show", parent, "--json").well().document
    assert [one["id"] for one in document["children"]] == children
    assert document["steps"] == []


def test_cancel_ends_what_has_not_started(here: Run) -> None:
    """Unstarted jobs end here and now, with the reason; a job that has ended is told by its id."""
    here("enqueue", "-", stdin=lines(SHELF)).well()
    assert here("jobs", "cancel", READY, LATER, "--reason", "no more").output == "2 jobs canceled\n"
    shown: Any = here("jobs", "show", READY, "--json").document
    assert (shown["state"], shown["error"]["message"]) == ("canceled", "no more")
    ended = here("jobs", "cancel", READY, GREETED)
    assert (ended.status, ended.output) == (1, "1 job canceled\n")
    assert ended.complaints == (
        f"trioworker: not canceled, because ended before or unknown: {READY}\n"
    )
    again = here("jobs", "cancel", FAILED, "--json").well()
    assert again.document == {"ended": [FAILED], "asked": [], "more": False}
