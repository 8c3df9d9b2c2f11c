"""What is known of an expression before it is evaluated, and what becomes of one that fails."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trioworker.errors import UsageError
from trioworker.model.flow_expression import (
    EXPRESSION_BYTES_MAX,
    ExpressionFailed,
    encoded,
    read,
)


@pytest.mark.parametrize(
    ("text", "names", "results"),
    [
        ("input.order.id", {"input"}, set()),
        ("results.charge.id", {"results"}, {"charge"}),
        ('results."charge"', {"results"}, {"charge"}),
        ("(results).charge", {"results"}, {"charge"}),
        ("@.results.a[0]", {"results"}, {"a"}),
        ("results.a | [0]", {"results"}, {"a"}),
        ("{a: results.a, b: [iter.value, previous]}", {"results", "iter", "previous"}, {"a"}),
        ("input.list[?price > `3`].results", {"input"}, set()),
        ("sort_by(results.a, &results)[-1]", {"results"}, {"a"}),
        ("results.a[*].results.b", {"results"}, {"a"}),
        ("results.a == `1` && !(results.b) || error.name", {"results", "error"}, {"a", "b"}),
        ("length(flow.id)", {"flow"}, set()),
        ("'text'", set(), set()),
        ('`{"results": 1}`', set(), set()),
    ],
)
def test_what_an_expression_names_is_known(text: str, names: set[str], results: set[str]) -> None:
    """Only what it looks up at the top counts, not what is inside of that."""
    expression = read(text)
    assert ({*expression.names}, {*expression.results}) == (names, results)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "the expression is empty"),
        ("input." + "a" * EXPRESSION_BYTES_MAX, "the expression is too long"),
        ("input.a ||", "the expression 'input.a ||' is no JMESPath: it breaks off"),
        ("input.a > 3", "'3' at character 11 does not fit there; a number stands in backticks"),
        ("'a", "Unclosed ' delimiter at character 1"),
        ("input.a == `x`", "'x' in backticks is no JSON; text stands in single quotes"),
        ("input #", "Unknown token # at character 7"),
        ("order.id", "it begins with 'order'; it may with input, results, previous, iter"),
        ("input.a == true", "true is a name here; as a value it stands in backticks"),
        ('input.a == "x"', "begins with 'x'.*; text stands in single quotes"),
        ("@", "'@' is everything that the flow knows"),
        ("keys(@)", "'@' is everything that the flow knows"),
        ("results", "it names 'results' as a whole; say which, as results.step"),
        ("!input.a", "'!' is about one name only; say !(input.a) for !input.a"),
        ("results.*", "it names 'results' as a whole"),
        ("length(results)", "it names 'results' as a whole"),
        ("nothing(input)", "there is no function nothing(); one of abs, avg, "),
        ("input | " + " | ".join(["[@,@]"] * 10), "could make more than 1,000 copies"),
        ("input | " + " | ".join(["map(&[@,@,@,@,@,@], [@])"] * 4), "more than 1,000 copies"),
        ("[" * 2_000, "is nested too deeply|breaks off|does not fit"),
    ],
)
def test_a_mistake_is_told_when_it_is_read(text: str, why: str) -> None:
    """In one line that says how to mend it."""
    with pytest.raises(UsageError) as raised:
        read(text)
    message = str(raised.value)
    assert "\n" not in message
    assert any(part in message for part in why.replace(".*", "|").split("|"))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("length(input.n)", "the expression 'length(input.n)' failed: "),
        ("input.n < `[1]` || abs(input.s)", "failed: "),
        ("join(',', input.s)", "failed: "),
        ("sum(input.n, input.n)", "failed: "),
    ],
)
def test_an_expression_that_has_no_value_says_why(text: str, why: str) -> None:
    """In one line, too."""
    with pytest.raises(ExpressionFailed) as raised:
        read(text).value({"input": {"n": 3, "s": "x"}})
    assert why in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("value", "holds"), [("`true`", True), ("`false`", False), ("input.none", False)]
)
def test_a_condition_is_true_or_false(value: str, *, holds: bool) -> None:
    """What is not there counts as false."""
    assert read(value).holds({"input": {}}) is holds


@pytest.mark.parametrize(
    ("value", "told"),
    [("`0`", "gave 0"), ("`[]`", "gave a list"), ("`{}`", "gave an object"), ("'no'", "gave 'no'")],
)
def test_a_condition_is_nothing_else(value: str, told: str) -> None:
    """A number or a list would be taken for true by one reader and for false by another."""
    with pytest.raises(ExpressionFailed, match=told):
        read(value).holds({})


def test_a_value_that_is_no_json_is_told() -> None:
    """An expression may be one that gives none."""
    with pytest.raises(ExpressionFailed, match="cannot be written as JSON"):
        encoded(read("&input").value({}))


def outcome(text: str) -> str:
    """What is said about a text: why it is no expression, why it failed, or its value."""
    try:
        expression = read(text)
        return encoded(expression.value({"input": {"a": [1, "x", None]}, "results": {}})).decode()
    except (UsageError, ExpressionFailed) as error:
        return str(error)


@given(st.text(alphabet="inputresls.@[]*?&|!=<>{},:`'\"0123 ()", max_size=30))
def test_no_text_breaks_the_reading(text: str) -> None:
    """It has a value, or is told in one line why not."""
    assert "\n" not in outcome(text)
    assert outcome(text)
