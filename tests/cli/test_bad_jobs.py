"""A job that a worker cannot do ends as a failure that says why, or waits for one that can."""

import json
from collections.abc import Mapping
from pathlib import Path

from tests.cli.commands import APP, Run

CANNOT: Mapping[str, tuple[Mapping[str, object], tuple[str, str]]] = {
    "missing interpreter": (
        {"path": "there.mjs", "kind": "script"},
        ("MissingInterpreter", "'node', which runs 'there.mjs', is not installed on this worker"),
    ),
    "missing interpreter, dedicated": (
        {"path": "there.mjs", "kind": "script", "dedicated": True},
        ("MissingInterpreter", "'node', which runs 'there.mjs', is not installed on this worker"),
    ),
    "missing script": (
        {"path": "gone.py", "kind": "script"},
        ("ScriptNotFound", "there is no script 'gone.py' in the scripts folder"),
    ),
    "script of others": (
        {"path": "../gone.py", "kind": "script"},
        ("ScriptOutside", "script '../gone.py' is outside the scripts folder"),
    ),
    "no language": (
        {"path": "there.rb", "kind": "script"},
        ("UnknownLanguage", "the suffix of 'there.rb' names no language"),
    ),
    "unknown function": (
        {"path": "gret"},
        ("UnknownFunction", "unknown job 'gret'; this app has climb, divide, greet"),
    ),
    "wrong arguments": (
        {"path": "divide", "args": {"a": 1, "b": "two"}},
        ("InvalidArguments", "job 'divide': the argument 'b': expected int, got str"),
    ),
    "result that is no JSON": (
        {"path": "hand_over"},
        ("UnserializableResult", "object that cannot be written as JSON"),
    ),
}


def test_what_cannot_be_done_fails_with_the_reason(here: Run, tmp_path: Path) -> None:
    """Each fails once with a name and one line, its neighbours are done, the worker ends well."""
    for name in ("there.mjs", "there.rb"):
        (tmp_path / name).touch()
    file = [dict(job) for job, _ in CANNOT.values()]
    file.append({"path": "greet", "args": ["you"]})
    here("enqueue", "-", stdin="\n".join(map(json.dumps, file))).well()

    scripts = ("--scripts-dir", str(tmp_path))
    here("run", APP, "--drain", "--mode", "agent-batch", *scripts, PATH=str(tmp_path)).well()

    greeted, *failed = here("jobs", "list", "--json").well().document
    assert (greeted["state"], greeted["result"]) == ("success", "Hello, you!")
    for job, (sort, (_, (name, message))) in zip(reversed(failed), CANNOT.items(), strict=True):
        assert (job["state"], job["attempt"]) == ("failure", 1), sort
        assert job["error"]["name"] == name, sort
        assert message in job["error"]["message"], sort
        assert "\n" not in job["error"]["message"], sort


def test_an_unknown_function_is_left_to_others_when_asked(here: Run) -> None:
    """With --unknown-functions leave the job is put back for later and not charged an attempt."""
    here("enqueue", "greet", '["you"]').well()
    here("run", "--drain", "--unknown-functions", "leave").well()
    (left,) = here("jobs", "list", "--json").well().document
    assert (left["state"], left["attempt"], left["error"]) == ("scheduled", 1, None)
