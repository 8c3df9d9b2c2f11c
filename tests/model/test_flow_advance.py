"""How flows begin, go on and end, whatever the order and the batches of the ends of their steps."""

import json
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import msgspec
import pytest

from tests.model.flow_driver import ROOT, START, Asked, Driver
from tests.model.flow_work import worked
from trioworker.model.flow import flow_of
from trioworker.model.flow_advance import End
from trioworker.model.outcome import Cancelled, Failed, JobError, Skipped, Succeeded

Parts = Mapping[str, Any]


def expr(text: str) -> Parts:
    """An expression in the place of a constant."""
    return {"expr": text}


def call(step: str, path: str, /, args: Parts | None = None, **more: object) -> Parts:
    """A step that calls a function."""
    return {"type": "function", "id": step, "path": path, "args": args or {}} | more


def echo(step: str, value: object = None, **more: object) -> Parts:
    """A step that returns the value."""
    return call(step, "echo", {"value": value}, **more)


def fail(step: str, message: str = "no", **more: object) -> Parts:
    """A step that fails."""
    return call(step, "fail", {"message": message}, **more)


def driver(*steps: Parts, given: object = None, seed: int = 0, **flow: object) -> Driver:
    """A run of the flow, which has begun."""
    read = flow_of(json.dumps({"steps": steps} | flow))
    return Driver(Asked({"f": read}, "f", {} if given is None else given), worked, Random(seed))


def ran(*steps: Parts, given: object = None, **flow: object) -> End:
    """How the flow ends, which is the same in whatever order its steps end."""
    ends = [driver(*steps, given=given, seed=seed, **flow).run() for seed in range(4)]
    assert all(end == ends[0] for end in ends)
    return ends[0]


def result(end: End) -> Any:  # noqa: ANN401 - JSON
    """What the flow returned."""
    assert isinstance(end, Succeeded), end
    return msgspec.json.decode(end.result)


def error(end: End) -> JobError:
    """What it failed with."""
    assert isinstance(end, Failed), end
    return end.error


def made(of: Driver) -> Sequence[str]:
    """The places of all steps that were made jobs, in order."""
    return [job.options.step.at for job in of.made if job.options.step]


def test_steps_are_run_one_after_the_other() -> None:
    """Each may name what those before it returned, and the flow returns what the last one does."""
    run = driver(
        echo("a", expr("input.x")), echo("b", expr("[results.a, previous]")), given={"x": 3}
    )
    assert made(run) == ["a"]
    assert result(run.run()) == [3, 3]
    assert made(run) == ["a", "b"]


def test_a_step_is_an_ordinary_job() -> None:
    """With the options that it says, and tag and priority of the flow where it says none."""
    run = driver(
        call("a", "echo", {"value": 1}, retry=3, timeout_s=5, labels=["x"], limit=2),
        {"type": "sleep", "id": "b", "seconds": 60, "tag": "slow", "priority": 9},
        priority=4,
    )
    run.run()
    first, second = run.made
    assert (first.kind, first.path, first.args, first.parent) == (
        "function",
        "echo",
        b'{"value":1}',
        ROOT,
    )
    assert (first.tag, first.priority, first.scheduled_for) == ("default", 4, None)
    assert (first.options.own_timeout_s, first.options.labels) == (5, ("x",))
    assert first.options.limit is not None
    assert (first.options.limit.slots, first.options.limit.key) == (2, "echo")
    assert (second.kind, second.path, second.tag, second.priority) == ("noop", "f/b", "slow", 9)
    assert second.scheduled_for is not None
    assert (second.scheduled_for - START).total_seconds() == 61


def test_a_failure_ends_the_flow_when_nothing_of_it_runs() -> None:
    """No step is begun any more, those that run are waited for."""
    run = driver(
        {
            "type": "branch_all",
            "id": "both",
            "branches": [{"steps": [fail("bad")]}, {"steps": [echo("good", 1), echo("next", 2)]}],
        },
        echo("after", 3),
    )
    bad, good = run.pending()
    run.end((bad.id, worked(bad)))
    assert ROOT not in run.outcomes
    run.end((good.id, worked(good)))
    assert error(run.outcomes[ROOT]) == JobError("Refused", "step bad: no")
    assert made(run) == ["bad", "good"]


def test_a_canceled_step_cancels_the_flow() -> None:
    """Without its failure step, for it was wanted so."""
    end = ran(call("a", "give_up", {"reason": "enough"}), failure=echo("f", 1))
    assert end == Cancelled("step a: enough")


@pytest.mark.parametrize(
    ("status", "end"),
    [
        ("success", Succeeded(b"1")),
        ("skipped", Skipped("seen")),
        ("failure", Failed(JobError("Stopped", "step a: seen"))),
    ],
)
def test_a_stop_ends_the_flow_as_it_says(status: str, end: End) -> None:
    """With the result of the step, or with the message."""
    stop = {"if": "result == `1`", "status": status, "message": "seen"}
    assert ran(echo("a", 1, stop_after_if=stop), echo("b", 2)) == end
    assert result(ran(echo("a", 3, stop_after_if=stop), echo("b", 2))) == 2


@pytest.mark.parametrize("more", [{"skip_if": "`true`"}, {"continue_on_error": True}])
def test_only_a_success_asks_for_a_stop(more: Parts) -> None:
    """Neither what was skipped does, nor a failure that is tolerated."""
    step = fail("a", stop_after_if={"if": "`true`"}, **more)
    assert result(ran(step, echo("b", 2))) == 2


@pytest.mark.parametrize("sort", ["branch_one", "branch_all"])
def test_the_first_step_of_a_branch_knows_the_step_before_the_branch(sort: str) -> None:
    """Also where it is a branch in turn, and nobody else asks."""
    branch = {"if": "`true`"} if sort == "branch_one" else {}
    step = echo("b", expr("previous"))
    for name in ("inner", "outer"):
        step = {"type": sort, "id": name, "branches": [branch | {"steps": [step]}]}
    found = result(ran(echo("a", 7), step))
    assert found in (7, [[7]])


def test_a_limit_may_name_arguments() -> None:
    """Each job of the step then has a key of its own."""
    limit = {"slots": 1, "key": "customer {value}"}
    run = driver(
        {
            "type": "for_each",
            "id": "each",
            "items": ["x", "y"],
            "parallel": True,
            "steps": [echo("a", expr("iter.value"), limit=limit)],
        },
        fail("z", limit=limit),
    )
    keys = [job.options.limit.key for job in run.made if job.options.limit]
    assert keys == ["customer x", "customer y"]
    assert "names no argument 'value'" in error(run.run()).message


def test_a_path_that_would_be_too_long_is_the_name_of_the_step() -> None:
    """For sleeps, approvals and the like, which have no path of their own."""
    path = "f" * 1_000
    flow = flow_of(json.dumps({"steps": [{"type": "noop", "id": "a"}]}))
    run = Driver(Asked({path: flow}, path, {}), worked, Random(0))
    assert [job.path for job in run.made] == ["a"]
