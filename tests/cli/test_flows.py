"""`trioworker flows`: flows are pushed, shown, run and approved; a mistake is one line."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.cli.commands import APP, Run, run, run_here
from trioworker.cli.exits import ExitStatus
from trioworker.model.flow import schema

ASK: dict[str, Any] = {
    "type": "approval", "id": "ask", "approvers": ["ann"], "message": "ship it?",
    "form": {"note": {"type": "string", "required": True}},
}  # fmt: skip
ORDER: dict[str, Any] = {
    "description": "An order",
    "inputs": {"name": {"type": "string", "required": True}},
    "steps": [
        {
            "type": "function",
            "id": "greet",
            "path": "greet",
            "args": {"name": {"expr": "input.name"}},
        },
        ASK,
        {
            "type": "value",
            "id": "say",
            "value": {"expr": "{greeting: results.greet, note: results.ask.form.note}"},
        },
    ],
}
PYTHON = """
from trioworker.flows import flow, noop

nothing = flow("much/ado", [noop("a")])
number = 3
"""


@pytest.fixture
def order(tmp_path: Path) -> Path:
    """A file with a flow."""
    return written(tmp_path / "order.json", ORDER)


def written(file: Path, document: object) -> Path:
    """The file, with that in it."""
    file.write_text(document if isinstance(document, str) else json.dumps(document))
    return file


def test_a_flow_is_pushed_and_shown(here: Run, order: Path) -> None:
    """Under the name of its file, or as it is said; what is equal makes no new version."""
    assert here("flows", "push", str(order)).well().output == "order is pushed, version 1\n"
    assert here("flows", "push", str(order)).well().output == "order is as it was, version 1\n"
    pushed = here("flows", "push", str(order), "--path", "shop/order", "--by", "me", "--json")
    assert pushed.well().document == [{"path": "shop/order", "version": 1, "new": True}]
    here("flows", "push", "-", "--path", "order", stdin=json.dumps({"steps": [ASK]})).well()
    listed = here("flows", "list").well().output.splitlines()
    assert [line.split()[-1] for line in listed[1:]] == ["order", "shop/order"]
    shown = here("flows", "show", "order", "--version", "1").well().output
    assert "description   An order\n" in shown
    assert "├─ greet  function greet\n" in shown
    asked = {**ASK, "form": {"note": {"required": True}}}  # what goes without saying is left out
    newest = here("flows", "show", "order", "--json").well().document
    assert (newest["version"], newest["definition"]) == (2, {"steps": [asked]})


def test_a_flow_in_python_is_pushed(
    here: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its module and its name there."""
    written(tmp_path / "flows_in_python.py", PYTHON)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    said = here("flows", "push", "flows_in_python:nothing").well().output
    assert said == "much/ado is pushed, version 1\n"
    for target, complaint in (
        (
            "flows_in_python:number",
            "is of type int, not a trioworker Flow; it has flows_in_python:nothing",
        ),
        ("flows_in_python:other", "has no attribute 'other'; it has flows_in_python:nothing"),
        ("no_module_at_all:flow", "there is no module 'no_module_at_all'"),
        ("flows_in_python:", "write module:attribute"),
    ):
        ended = here("flows", "push", target)
        assert (ended.status, ended.complaints.count("\n")) == (ExitStatus.USAGE, 1)
        assert complaint in ended.complaints


def test_a_flow_is_run_watched_and_approved(here: Run, database_url: str, order: Path) -> None:
    """From the file to the result, with what waits for people in between."""
    here("flows", "push", str(order)).well()
    id_ = here("flows", "run", "order", '{"name": "Eve"}').well().output.strip()
    run("run", APP, "--drain", url=database_url).well()
    shown = here("flows", "show", id_).well().output
    assert "flow          order, version 1\nstate         under way\n" in shown
    (line,) = [line for line in shown.splitlines() if "─ ask " in line]
    assert line.endswith("  waits for approval by ann: ship it?")
    assert "waits_for     steps\n" in here("jobs", "show", id_).well().output
    (approval,) = here("flows", "approvals", "--json").well().document
    assert f"  {approval['id']}  " in line
    assert (approval["flow"], approval["at"], approval["approvers"]) == (id_, "ask", ["ann"])
    assert approval["id"] in here("flows", "approvals").well().output
    step = here("jobs", "show", approval["id"]).well().output
    assert f"flow          {id_}\nstep          ask\n" in step
    said = here("flows", "approve", id_, "--by", "ann", "--form", '{"note": "go"}').well().output
    assert said == "ask is approved by ann\n"
    ended = here("flows", "show", id_, "--json").well().document
    assert (ended["job"]["state"], ended["approvals"], ended["version"]) == ("success", [], None)
    assert ended["job"]["result"] == {"greeting": "Hello, Eve!", "note": "go"}
    assert 'result        {"note":"go","greeting":' in here("flows", "show", id_).well().output


def test_a_run_is_waited_for(here: Run, database_url: str, tmp_path: Path) -> None:
    """With its result, or why there is none; a disapproval fails it."""
    here(
        "flows", "push", str(written(tmp_path / "ask.json", {"steps": [{**ASK, "form": {}}]}))
    ).well()
    id_ = here("flows", "run", "ask", "--json", "--priority", "7").well().document["id"]
    assert here("jobs", "show", id_, "--json").document["priority"] == 7
    run("run", APP, "--drain", url=database_url).well()
    said = here("flows", "disapprove", id_, "--by", "ann", "--json").well().document
    assert (said["at"], said["over"]) == ("ask", True)
    waited = here("jobs", "wait", id_)
    assert (waited.status, waited.output) == (ExitStatus.FAILED, "")
    assert "ann disapproved" in waited.complaints
    assert "error         " in here("flows", "show", id_).well().output


def test_the_schema_is_printed(here: Run) -> None:
    """The one that definitions are held against, for an editor."""
    printed = here("flows", "schema").well().document
    assert printed == json.loads(json.dumps(schema()))
    assert printed["$ref"] == "#/$defs/Flow"


@pytest.mark.parametrize(
    ("definition", "complaint"),
    [
        ("{", "order.json: the flow is not JSON"),
        ({}, "order.json: the flow does not match its schema at $: object missing"),
        ({"steps": []}, "order.json: the flow will not do at $.steps: there are no steps"),
        ({"steps": [{"type": "function", "id": "a"}]}, "at $.steps[0]: object missing required"),
        (
            {"steps": [{"type": "nap", "id": "a"}]},
            "at $.steps[0].type: invalid value 'nap'; one of",
        ),
        ({"steps": [{**ASK, "needed": 2}]}, "at $.steps[0]: 2 approvals cannot come from 1"),
        ({"steps": [{"type": "value", "id": "a", "value": {"expr": "results.b"}}]}, "the step 'b'"),
    ],
)
def test_a_definition_that_is_none_is_one_line(
    pushed: tuple[Run, str, str], order: Path, tmp_path: Path, definition: object, complaint: str
) -> None:
    """It says where the mistake is, and nothing is pushed, not even what is right beside it."""
    there, good = pushed[0], written(tmp_path / "good.json", ORDER)
    ended = there("flows", "push", str(good), str(written(order, definition)))
    assert (ended.status, ended.complaints.count("\n")) == (ExitStatus.USAGE, 1)
    assert complaint in ended.complaints
    assert [one["path"] for one in there("flows", "list", "--json").document] == ["order"]


@pytest.fixture(scope="module")
def pushed(module_url: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, str, str]:
    """Commands on a database with a flow and a run of it; the flow's file, and the run."""
    there = partial(run_here, url=module_url)
    file = str(written(tmp_path_factory.mktemp("flows") / "order.json", ORDER))
    there("flows", "push", file).well()
    return there, file, there("flows", "run", "order", '{"name": "Eve"}').well().output.strip()


UNKNOWN = "0197f2a0-0000-7000-8000-000000000000"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("push", "nothing.json"), "cannot read 'nothing.json': No such file"),
        (("push", "/"), "cannot read '/': Is a directory"),
        (("push", "-"), "a flow on stdin has no name; say --path"),
        (("push", "ORDER", "ORDER"), "two of these flows are called 'order'"),
        (("push", "ORDER", "ORDER", "--path", "a"), "--path is the path of one flow, not of 2"),
        (("push", "ORDER", "--path", "a" * 1001), "the path is too long"),
        (("show", "nothing"), "there is no flow 'nothing'; `trioworker flows list`"),
        (("show", "order", "--version", "2"), "there is no version 2 of the flow 'order'"),
        (("show", UNKNOWN), f"there is no job {UNKNOWN}"),
        (("show", UNKNOWN, "--version", "2"), "--version goes with a path"),
        (("run", "nothing"), "there is no flow 'nothing'"),
        (("run", "order"), "the input of the flow lacks 'name'"),
        (("run", "order", '{"name": 3}'), "'name' in the input of the flow is not of type string"),
        (("run", "order", "[]"), "the input of a flow is a JSON object"),
        (("run", "order", "{"), "the arguments are not JSON"),
        (("run", "order", '{"name": ""}', "--priority", "9999"), "priority 9999 is out of range"),
        (("approve", UNKNOWN, "--by", "ann"), f"there is no job {UNKNOWN}"),
        (("approve", "RUN", "--by", "ann"), "which is ready"),
        (("approve", "order", "--by", "ann"), "'order' is no job's id"),
        (("approve", "RUN"), "missing option '--by'"),
        (("approve", "RUN", "--by", "ann", "--form", "[]"), "--form=[] is no JSON object"),
        (("list", "--limit", "0"), "a limit of 0 will not do"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(
    pushed: tuple[Run, str, str], arguments: tuple[str, ...], complaint: str
) -> None:
    """It says what is wrong, and nothing is changed."""
    there, order, ready = pushed
    words = {"ORDER": order, "RUN": ready}
    ended = there("flows", *(words.get(word, word) for word in arguments))
    assert (ended.status, ended.complaints.count("\n")) == (ExitStatus.USAGE, 1)
    assert complaint in ended.complaints


def test_mistakes_have_changed_nothing(pushed: tuple[Run, str, str]) -> None:
    """There is the one flow, and the one run of it, as it was enqueued."""
    there, _, ready = pushed
    (job,) = there("jobs", "list", "--json").document
    assert (job["id"], job["state"]) == (ready, "ready")
    assert [one["version"] for one in there("flows", "list", "--json").document] == [1]


def test_a_flow_is_run_when_it_is_due(here: Run, order: Path) -> None:
    """And what is wanted of a job may be wanted of it."""
    here("flows", "push", str(order)).well()
    id_ = here("flows", "run", "order", '{"name": "x"}', "--in", "60", "--tag", "big").well()
    job = here("jobs", "show", id_.output.strip(), "--json").document
    assert (job["state"], job["tag"], job["kind"]) == ("scheduled", "big", "flow")


def test_an_approval_is_no_kind_of_job(here: Run) -> None:
    """It is offered nowhere, and refused in one line where it is asked for."""
    assert "approval" not in here("enqueue", "--help").well().output
    for arguments in (
        ("enqueue", "x", "--kind", "approval"),
        ("schedules", "add", "s", "x", "--every", "60", "--kind", "approval"),
    ):
        ended = here(*arguments)
        assert (ended.status, ended.complaints.count("\n")) == (ExitStatus.USAGE, 1)
        assert "an approval is a step of a flow" in ended.complaints
    assert here("jobs", "list", "--json").document == []
