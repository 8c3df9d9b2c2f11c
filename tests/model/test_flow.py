"""How the definition of a flow is read, and in which words it is not."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.model.flow_drawing import flows
from trioworker.errors import InvalidArguments, UsageError
from trioworker.model.flow import DEFINITION_BYTES_MAX, check_input, definition, flow_of, schema
from trioworker.model.flow_steps import SORTS

Parts = dict[str, Any]


def echo(step: str = "a", **more: object) -> Parts:
    """A step that calls a function."""
    return {"type": "function", "id": step, "path": "echo"} | more


def each(*steps: Parts, **more: object) -> Parts:
    """A loop."""
    return {"type": "for_each", "id": "each", "items": [1], "steps": steps} | more


def many(*steps: Parts) -> Parts:
    """A step with several branches, of which this is the first."""
    return {"type": "branch_all", "id": "many", "branches": [{"steps": steps}]}


def one(*steps: Parts, when: str = "input.a") -> Parts:
    """A step with a branch."""
    return {"type": "branch_one", "id": "one", "branches": [{"if": when, "steps": steps}]}


def deep(depth: int) -> Parts:
    """Branches in branches."""
    step = echo()
    for number in range(depth):
        step = one(step) | {"id": f"b{number}"}
    return step


def arg(text: str) -> Parts:
    """An argument that is an expression."""
    return {"args": {"x": {"expr": text}}}


ASKS: Parts = {"type": "approval", "id": "a"}
SLEEP: Parts = {"type": "sleep", "id": "a", "seconds": 1}
LAST: Parts = echo("last")


@pytest.mark.parametrize(
    ("steps", "place", "why"),
    [
        ([], "$.steps", "there are no steps; at least one"),
        ([each()], "$.steps[0].steps", "there are no steps; at least one"),
        ([many()], "$.steps[0].branches[0].steps", "there are no steps"),
        ([echo("a b")], "$.steps[0].id", "'a b' is no name for a step; letters, digits and _"),
        ([echo("1")], "$.steps[0].id", "'1' is no name for a step"),
        ([echo("a" * 101)], "$.steps[0].id", "at most 100"),
        ([echo(), each(echo())], "$.steps[0].id", "two steps are called 'a'"),
        ([echo(path="")], "$.steps[0].path", "the path is empty"),
        ([echo(tag="")], "$.steps[0]", "the tag is empty"),
        ([echo(priority=2_000)], "$.steps[0]", "priority 2000 is out of range"),
        ([echo(timeout_s=0)], "$.steps[0]", "a timeout of 0 s will not do"),
        ([echo(limit=0)], "$.steps[0]", "a limit of 0 jobs would let none run"),
        ([echo(limit={"slots": 1, "key": "{a.b}"})], "$.steps[0]", "only names of arguments"),
        ([echo(limit={"slots": 0})], "$.steps[0].limit", "a limit of 0 jobs would let none run"),
        ([echo(retry={"attempts": 0})], "$.steps[0].retry", "a retry policy of 0 attempts"),
        ([each(echo(retry={"delay_s": 1}))], "$.steps[0].steps[0].retry", "would never end"),
        ([echo(labels=[""])], "$.steps[0]", "the label is empty"),
        ([echo(cache_ttl_s=0)], "$.steps[0]", "the time a result is kept of 0"),
        ([echo(type="script", language="")], "$.steps[0].language", "the language is empty"),
        ([echo(skip_if="input.")], "$.steps[0].skip_if", "it breaks off"),
        ([echo(**arg("results.b"))], "$.steps[0].args.x", "the step 'b', which does not exist"),
        (
            [echo(), echo("b", **arg("results.c")), echo("c")],
            "$.steps[1].args.x",
            "the step 'c', which is not before it; before it are a",
        ),
        ([each(echo("b")), echo(**arg("results.b"))], "$.steps[1].args.x", "is not before it"),
        ([echo(args=[{"expr": "iter.value"}])], "$.steps[0].args[0]", "only inside a loop"),
        ([each(echo(), items={"expr": "iter"})], "$.steps[0].items", "only inside a loop"),
        ([echo(**arg("error"))], "$.steps[0].args.x", "which only the failure step knows"),
        ([echo(**arg("result"))], "$.steps[0].args.x", "only stop_after_if knows"),
        ([each(echo(), parallel=0)], "$.steps[0]", "0 iterations at a time will not do"),
        ([each(echo(), items=[0] * 10_001)], "$.steps[0]", "a loop over 10,001 items is too long"),
        (
            [{"type": "while", "id": "w", "while": "input.a", "max": 0, "steps": [echo()]}],
            "$.steps[0].max",
            "0 iterations will not do; from 1 to 10,000",
        ),
        ([one(echo(), when="x")], "$.steps[0].branches[0].if", "it begins with 'x'"),
        ([{**one(), "branches": []}], "$.steps[0].branches", "0 branches will not do"),
        ([{**many(), "branches": []}], "$.steps[0].branches", "0 branches will not do"),
        ([SLEEP | {"seconds": -1}], "$.steps[0].seconds", "a sleep of -1 will not do"),
        ([SLEEP | {"seconds": {"expr": ""}}], "$.steps[0].seconds", "the expression is empty"),
        ([ASKS | {"needed": 0}], "$.steps[0]", "0 approvals will not do"),
        ([ASKS | {"message": {"expr": "x"}}], "$.steps[0].message", "it begins with 'x'"),
        ([ASKS | {"approvers": {"expr": "x"}}], "$.steps[0].approvers", "it begins with 'x'"),
        ([ASKS | {"form": {"x": {"description": "x" * 9_000}}}], "$.steps[0].form", "too long"),
        (
            [{"type": "value", "id": "a", "value": "x" * 70_000}],
            "$.steps[0].value",
            "a value of 70,002 bytes is too large",
        ),
        (
            [many(echo(stop_after_if={"if": "result"}))],
            "$.steps[0].branches[0].steps[0].stop_after_if",
            "there is nothing here that it could end",
        ),
        (
            [each(echo(stop_after_if={"if": "result"}), parallel=2)],
            "$.steps[0].steps[0].stop_after_if",
            "steps around it run at the same time",
        ),
        (
            [each(one(echo(stop_after_if={"if": "result", "status": "failure"})))],
            "$.steps[0].steps[0].branches[0].steps[0].stop_after_if",
            "it ends a loop here, which cannot end as failure",
        ),
        ([echo(stop_after_if={"if": "x"})], "$.steps[0].stop_after_if.if", "it begins with 'x'"),
    ],
)
def test_a_mistake_is_told_with_its_place(steps: list[Parts], place: str, why: str) -> None:
    """And with the mend."""
    with pytest.raises(UsageError) as raised:
        flow_of(json.dumps({"steps": steps}))
    told = str(raised.value)
    assert told.startswith(f"the flow will not do at {place}: "), told
    assert why in told
    assert "\n" not in told


@pytest.mark.parametrize(
    ("flow", "place", "why"),
    [
        ({}, "$", "object missing required field 'steps'"),
        ({"steps": [echo()], "step": 1}, "$", "object contains unknown field 'step'"),
        ({"steps": [{"id": "a"}]}, "$.steps[0]", "object missing required field 'type'"),
        ({"steps": [{"type": "x"}]}, "$.steps[0].type", "'x'; one of function, script, flow, "),
        ({"steps": [each({"type": 1})]}, "$.steps[0].steps[0].type", "expected 'str'"),
        ({"steps": [echo(args=3)]}, "$.steps[0].args", "expected 'object | array', got 'int'"),
        ({"steps": [echo(retries=3)]}, "$.steps[0]", "object contains unknown field 'retries'"),
        ({"steps": [echo()], "failure": SLEEP}, "$.failure.type", "invalid value 'sleep'"),
        (
            {"steps": [echo()], "on_worker_lost": "x"},
            "$.on_worker_lost",
            "invalid enum value 'x'",
        ),
        (
            {"steps": [ASKS | {"form": {"x": {"type": "date"}}}]},
            "$.steps[0].form[...].type",
            "one of string, number, boolean",
        ),
        (
            {"steps": [echo()], "inputs": {"x": {"type": "date"}}},
            "$.inputs[...].type",
            "one of any, string, number, boolean, array, object",
        ),
    ],
)
def test_what_does_not_match_the_schema_is_told_with_its_place(
    flow: Parts, place: str, why: str
) -> None:
    """The place is that in the JSON."""
    with pytest.raises(UsageError) as raised:
        flow_of(json.dumps(flow))
    told = str(raised.value)
    assert told.startswith(f"the flow does not match its schema at {place}: "), told
    assert why in told


@pytest.mark.parametrize(
    ("flow", "place", "why"),
    [
        ({"returns": "b"}, "$.returns", "there is no step 'b' outside of loops and branches"),
        ({"tag": ""}, "$.tag", "the tag is empty"),
        ({"priority": 5_000}, "$.priority", "priority 5000 is out of range"),
        ({"inputs": {"": {}}}, "$.inputs", "the name of an input is empty"),
        ({"inputs": {str(n): {} for n in range(101)}}, "$.inputs", "101 inputs are too many"),
        ({"failure": echo("a")}, "$.steps[0].id", "two steps are called 'a'"),
        ({"failure": LAST | {"skip_if": "input.a"}}, "$.failure", "has no skip_if"),
        ({"failure": LAST | arg("results.b")}, "$.failure.args.x", "does not exist"),
    ],
)
def test_so_are_mistakes_about_the_whole(flow: Parts, place: str, why: str) -> None:
    """What stands beside the steps."""
    with pytest.raises(UsageError) as raised:
        flow_of(json.dumps({"steps": [echo()]} | flow))
    assert str(raised.value).startswith(f"the flow will not do at {place}: ")
    assert why in str(raised.value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "the flow is not JSON: "),
        ("[1]", "the flow does not match its schema at $: expected 'object', got 'array'"),
        (b"\xff", "the flow is not JSON: "),
        ("[" * 100_000, "the flow "),
        (json.dumps({"steps": [echo(path="a\x00")]}), "the flow contains a NUL character"),
        (" " * (DEFINITION_BYTES_MAX + 1), "a definition of 1,048,577 bytes is too large"),
        (json.dumps({"steps": [deep(11)]}), "steps inside of steps are nested at most 10 deep"),
        (
            json.dumps({"steps": [echo(f"s{n}") for n in range(501)]}),
            "a flow of 501 steps is too long; at most 500",
        ),
    ],
)
def test_what_cannot_be_read_at_all_is_told(text: str | bytes, why: str) -> None:
    """In one line."""
    with pytest.raises(UsageError) as raised:
        flow_of(text)
    assert why in str(raised.value)
    assert "\n" not in str(raised.value)


def test_as_much_as_may_be_is_read() -> None:
    """Just within the bounds."""
    flow_of(json.dumps({"steps": [deep(10)]}))
    flow_of(json.dumps({"steps": [echo(f"s{n}") for n in range(500)]}))
    flow_of(json.dumps({"steps": [echo(path="a\\u0000")]}))


def test_equal_flows_have_equal_definitions() -> None:
    """In whatever order their parts are written, and without what is as it is anyway."""
    one = flow_of('{"steps":[{"type":"function","id":"a","path":"f","args":{"y":1,"x":2}}]}')
    other = flow_of(
        '{"description":"","steps":[{"path":"f","args":{"x":2,"y":1},"id":"a","type":"function",'
        '"labels":[]}]}'
    )
    assert definition(one) == definition(other)


@given(flows())
def test_a_definition_is_read_as_it_was_written(flow: dict[str, Any]) -> None:
    """Again and again."""
    read = flow_of(json.dumps(flow))
    assert flow_of(definition(read)) == read
    assert definition(flow_of(definition(read))) == definition(read)


def test_the_schema_knows_every_sort_of_step() -> None:
    """So that an editor can help, and a page can be made of it."""
    shapes = schema()["$defs"]
    tags = {
        shape["properties"]["type"].get("enum", [""])[0]
        for shape in shapes.values()
        if "type" in shape.get("properties", {})
    }
    assert tags >= {*SORTS}
    msgspec.json.encode(schema())


@pytest.mark.parametrize(
    ("given_", "why"),
    [
        ({}, "the input of the flow lacks 'order'"),
        ({"order": None}, "lacks 'order'"),
        ({"order": "x"}, "'order' in the input of the flow is not of type object"),
        ({"order": {}, "count": "3"}, "'count' in the input of the flow is not of type number"),
        ({"order": {}, "count": True}, "is not of type number"),
        ({"order": {}, "dry": 1}, "is not of type boolean"),
        ([1], "the input of a flow is a JSON object"),
    ],
)
def test_an_input_is_what_the_flow_says(given_: object, why: str) -> None:
    """It is told what is missing, or of which type it is not."""
    inputs = {
        "order": {"type": "object", "required": True},
        "count": {"type": "number"},
        "dry": {"type": "boolean"},
        "more": {},
    }
    flow = flow_of(json.dumps({"steps": [echo()], "inputs": inputs}))
    check_input(flow, b'{"order": {}, "count": 1.5, "dry": false, "more": [], "other": 1}')
    with pytest.raises(InvalidArguments, match=why):
        check_input(flow, json.dumps(given_).encode())
    with pytest.raises(InvalidArguments, match="cannot be read"):
        check_input(flow, b"{")


JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=3),
    st.just([]),
    st.just({}),
    st.just({"expr": "results.s0"}),
    st.just({"expr": 3}),
    st.just(["a", 1, None]),
)


def spoiled(part: Any, path: list[int], junk: object) -> Any:  # noqa: ANN401 - JSON
    """The definition with one of its parts replaced, which the path leads to."""
    if not path or not part or not isinstance(part, dict | list):
        return junk
    keys = sorted(part) if isinstance(part, dict) else range(len(part))
    key = keys[path[0] % len(keys)]
    changed = dict(part) if isinstance(part, dict) else [*part]
    changed[key] = spoiled(part[key], path[1:], junk)
    return changed


@given(flows(), st.lists(st.integers(0, 9), min_size=1, max_size=9), JUNK)
def test_no_json_breaks_the_reading(flow: Parts, path: list[int], junk: object) -> None:
    """It is a flow, or it is told in one line why not."""
    try:
        flow_of(json.dumps(spoiled(flow, path, junk)))
    except UsageError as error:
        told = str(error)
    else:
        told = ""
    assert "\n" not in told
