"""Whatever a flow is made of, and however its steps end: it comes to what its definition means."""

import json
from collections.abc import Mapping
from random import Random
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from tests.model.flow_drawing import GIVEN, SUB, flows
from tests.model.flow_driver import ROOT, Asked, Driver
from tests.model.flow_meaning import Broken, Stopped, meaning
from trioworker.model.flow import flow_of
from trioworker.model.flow_advance import End
from trioworker.model.job import NewJob
from trioworker.model.outcome import Failed, JobError, Skipped, Succeeded

Meant = tuple[str, Any]


def called(path: str, args: Any) -> Any:  # noqa: ANN401 - JSON
    """What the functions of the corpus return that are drawn."""
    given = args if isinstance(args, dict) else {"n": args[0], "value": args[0]}
    if path == "items":
        return list(range(given["n"]))
    if given.get("bad"):
        raise Broken(path)
    return given["value"]


def work(job: NewJob) -> End:
    """A worker that calls them."""
    if job.kind == "noop":
        return Succeeded(b"null")
    try:
        return Succeeded(msgspec.json.encode(called(job.path, msgspec.json.decode(job.args))))
    except Broken:
        return Failed(JobError("Bad", "it was bad"))


def call(step: Mapping[str, Any], args: Any) -> Any:  # noqa: ANN401 - JSON
    """The same, without jobs."""
    match step["type"]:
        case "noop" | "sleep":
            return None
        case "flow":
            return [args["x"], "sub"]
        case _:
            try:
                return called(step["path"], args)
            except Broken:
                raise Broken(step["id"]) from None


def plain(value: Any) -> Any:  # noqa: ANN401 - JSON
    """A result without which of several errors it was."""
    if isinstance(value, dict):
        errors = {"error": "some"} if "error" in value else {}
        return {name: plain(inner) for name, inner in value.items()} | errors
    return [plain(inner) for inner in value] if isinstance(value, list) else value


def meant(flow: Mapping[str, Any]) -> Meant:
    """How the flow ends, and with what: the result, or the steps that may be its failure."""
    try:
        return "success", plain(meaning(flow, GIVEN, call))
    except Broken as broken:
        return "failure", broken.steps
    except Stopped as stopped:
        return stopped.status, None


def came_to(driver: Driver, flow: Mapping[str, Any], expected: Meant) -> None:
    """A run came to what is expected."""
    end, (status, value) = driver.outcomes[ROOT], expected
    match end:
        case Succeeded(result):
            assert (status, value) == ("success", plain(msgspec.json.decode(result)))
        case Skipped():
            assert status == "skipped"
        case Failed(error):
            assert status == "failure"
            step = error.message.removeprefix("step ").partition(":")[0].partition("[")[0]
            assert value is None or step in value
            made = [job.options.step.at for job in driver.made if job.options.step]
            assert "failure" not in flow or made[-1] == "last_words"
        case _:
            raise AssertionError(end)


@settings(deadline=None, max_examples=200, suppress_health_check=[*HealthCheck])
@given(flows(), st.integers(0, 2**32))
def test_a_flow_comes_to_what_it_means(flow: dict[str, Any], seed: int) -> None:
    """With ends one by one, in batches or all together, told twice and in any order."""
    note(json.dumps(flow))
    expected = meant(flow)
    read = {"f": flow_of(json.dumps(flow)), "sub": flow_of(json.dumps(SUB))}
    states = []
    for most in (1, 3, 1_000):
        driver = Driver(Asked(read, "f", GIVEN), work, Random(seed + most))
        driver.run(most)
        came_to(driver, flow, expected)
        states.append(plain(msgspec.to_builtins(driver.states[ROOT])) | {"kept": 0})
    assert expected[0] != "success" or states == states[:1] * len(states)
