"""Flows that are written in Python define what JSON would, and tell what is wrong where it is."""

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from trioworker import App, InvalidArguments, JobContext, Limit, UsageError
from trioworker.flows import (
    FormField,
    Input,
    NamedFlow,
    approval,
    branch,
    branch_all,
    branch_one,
    case,
    expr,
    flow,
    for_each,
    noop,
    script,
    sleep,
    step,
    stop_after,
    subflow,
    value,
    while_,
)
from trioworker.model.flow import Flow, definition, flow_of

app = App()


@app.job(tag="bank", priority=3, limit=Limit(2, "{order}"), retry=5, labels=["money"])
async def charge(_context: JobContext, order: str, amount: float = 1.0) -> float:
    """Charge somebody."""
    return amount * len(order)


def defined(written: Flow) -> Any:  # noqa: ANN401 - JSON
    """What is pushed."""
    return msgspec.json.decode(definition(written))


def test_each_construct_is_written_as_json_would() -> None:
    """With everything that may be said about it."""
    inner = flow("inner", [value("v", 1)])
    written = flow(
        "orders/fulfil",
        [
            step("charge", charge, {"order": expr("input.order")}, skip_if="input.free"),
            script("mail", "mail.sh", ["x"], language="bash", timeout_s=5, continue_on_error=True),
            subflow("inner", inner, {"a": expr("results.charge")}, tag="else"),
            noop("nothing", description="no more"),
            sleep("pause", expr("input.seconds")),
            approval(
                "sign", approvers=["ann"], form={"n": "number", "t": FormField(required=True)}
            ),
            for_each("each", expr("input.list"), [value("w", expr("iter"))], parallel=3),
            for_each("few", (1, 2), [value("f", 1, stop_after_if=expr("result"))]),
            while_("round", expr("iter.index < `3`"), [value("r", 1)], max=5),
            branch_one("one", [case("input.a", [value("x", 1)])], default=[value("y", 2)]),
            branch_all("all", [[value("p", 1)], branch([value("q", 2)], skip_failure=True)]),
            value("last", 1, stop_after_if=stop_after("result", status="skipped", message="so")),
        ],
        inputs={"order": Input(kind="string", required=True), "list": "array"},
        failure=step("tell", "tell", [expr("error.message")]),
        returns="charge",
        tag="t",
        priority=1,
    )
    assert written.path == "orders/fulfil"
    said = defined(written)
    assert said["steps"][0] == {
        "type": "function",
        "id": "charge",
        "path": "charge",
        "args": {"order": {"expr": "input.order"}},
        "skip_if": "input.free",
        "tag": "bank",
        "priority": 3,
        "labels": ["money"],
        "limit": {"slots": 2, "key": "{order}"},
    }
    assert said["steps"][5]["form"] == {"n": {"type": "number"}, "t": {"required": True}}
    assert said["steps"][7]["steps"][0]["stop_after_if"] == {"if": "result"}
    assert {name: said[name] for name in ("returns", "tag", "priority")} == {
        "returns": "charge",
        "tag": "t",
        "priority": 1,
    }
    assert flow_of(json.dumps(said)) == flow_of(definition(written))
    assert isinstance(written, Flow)


def test_a_flow_may_keep_to_one_worker() -> None:
    """And be begun anew when that is lost."""
    said = defined(flow("f", [noop("a")], same_worker=True, on_worker_lost="restart"))
    assert (said["same_worker"], said["on_worker_lost"]) == (True, "restart")


def test_what_a_step_says_goes_before_what_its_function_says() -> None:
    """And retry and timeout are the function's to say when it is run."""
    (said,) = defined(flow("f", [step("a", charge, ["x"], tag="other", limit=3)]))["steps"]
    assert (said["tag"], said["limit"], said["priority"]) == ("other", 3, 3)
    assert "retry" not in said


@pytest.mark.parametrize(
    ("write", "why"),
    [
        (lambda: step("a", charge, {"amount": 1}), "job 'charge': the argument 'order' is missing"),
        (lambda: step("a", charge, ["x", "y"]), "job 'charge': the argument 'amount'"),
    ],
)
def test_constants_that_do_not_fit_the_function_are_told(
    write: Callable[[], object], why: str
) -> None:
    """Where the step is written."""
    with pytest.raises(InvalidArguments, match=why):
        write()


@pytest.mark.parametrize(
    ("write", "why"),
    [
        (lambda: expr("input."), "it breaks off"),
        (lambda: expr("nothing.a"), "it begins with 'nothing'"),
        (lambda: step("a", "f", {"x": {"y": expr("input")}}), "stands for a whole argument"),
        (lambda: value("a", [expr("input")]), "stands for a whole argument"),
        (lambda: step("a", "f", "x"), "arguments are a dict or a list, not 'x'"),
        (lambda: approval("a", approvers="ann"), r"not 'ann'; say \['ann'\]"),
        (lambda: step("a", "f", labels="x"), r"not 'x'; say \['x'\]"),
        (lambda: for_each("a", "input.list", [noop("b")]), "a list is meant, not 'input.list'"),
        (lambda: flow("", [noop("a")]), "the path is empty"),
        (lambda: flow("f", []), r"at \$.steps: there are no steps"),
        (lambda: flow("f", [step("a", "f", priority="x")]), "priority='x' will not do; it is int"),  # type: ignore[arg-type]  # on purpose
        (lambda: flow("f", [step("a", "f", [object()])]), "cannot be written as JSON"),
        (lambda: flow("f", [noop("a"), noop("a")]), "two steps are called 'a'"),
        (lambda: flow("f", [step("a", 3)]), r"at \$.steps\[0\].path: the path is text"),  # type: ignore[arg-type]  # on purpose
    ],
)
def test_a_mistake_is_told_where_it_is_written(write: Callable[[], object], why: str) -> None:
    """In one line."""
    with pytest.raises(UsageError, match=why) as raised:
        write()
    assert "\n" not in str(raised.value)


def test_a_named_flow_is_a_flow_with_a_path() -> None:
    """Which is no part of what it defines."""
    assert NamedFlow.__struct_fields__ == Flow.__struct_fields__
    one, other = (flow(path, [noop("a")]) for path in ("one", "other"))
    assert definition(one) == definition(other)
    assert (one.path, other.path) == ("one", "other")
