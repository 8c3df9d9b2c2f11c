"""The expressions of flows: JMESPath, over what a flow knows at the place where one stands.

Rule of this file: an expression is read once, when the flow is defined, and everything that can be
wrong with it whatever the data is said then. What it may name is known before it is evaluated, so
that only those results are read which it needs. It has no way to go round in circles, and none to
make an unreasonable number of copies of what it is given.
"""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

import jmespath
import msgspec
from jmespath.exceptions import (
    IncompleteExpressionError,
    JMESPathError,
    LexerError,
    ParseError,
)
from jmespath.functions import Functions

from trioworker.errors import UsageError
from trioworker.model.bounds import bounded_text

EXPRESSION_BYTES_MAX: Final = 4_000
COPIES_MAX: Final = 1_000
NAMES: Final = ("input", "results", "previous", "iter", "error", "flow", "result")
"""What an expression may begin with; see `docs/flows.md` for what stands behind each."""

_FUNCTIONS: Final[Mapping[str, object]] = Functions.FUNCTION_TABLE
_SHOWN_CHARS_MAX: Final = 60

_QUOTED: Final = re.compile(
    r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|`(?P<literal>(?:\\.|[^`\\])*)`""", re.DOTALL
)

_ROOT, _RESULTS, _DATA = object(), object(), object()
"""Where a part of an expression looks: at all names, at the results by step, somewhere in one."""

_IN_ORDER: Final = frozenset({"subexpression", "index_expression", "pipe", "projection"})
_IN_TURN: Final = _IN_ORDER | {"value_projection", "filter_projection"}
_LEAVES: Final = frozenset({"literal", "index", "slice"})


class ExpressionFailed(Exception):
    """An expression has no value for this data; the text says why."""


class Expr(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An expression where a constant may stand, too: `{"expr": "input.order.id"}`."""

    expr: str


class Expression(NamedTuple):
    """An expression that has been read: the names it begins with, and the steps it asks for."""

    text: str
    parsed: Any
    names: frozenset[str]
    results: frozenset[str]

    def value(self, data: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON
        """Its value. Raises `ExpressionFailed`."""
        try:
            return self.parsed.search(data)
        except JMESPathError as error:
            why = str(error).partition("\n")[0]
        except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
            why = str(error)
        except RecursionError:
            why = "the data is nested too deeply"
        raise ExpressionFailed(f"the expression {shown(self.text)} failed: {why}")

    def holds(self, data: Mapping[str, Any]) -> bool:
        """Whether it is true; null is not. Raises `ExpressionFailed` for what is neither."""
        value = self.value(data)
        if value is None or isinstance(value, bool):
            return bool(value)
        raise ExpressionFailed(
            f"the condition {shown(self.text)} gave {_shown_value(value)}, which is neither true"
            " nor false; compare it with something"
        )


@lru_cache(maxsize=4_096)
def read(text: str) -> Expression:
    """The expression that a text is. Raises `UsageError` when it is none."""
    bounded_text("expression", text, EXPRESSION_BYTES_MAX)
    _check_literals(text)
    try:
        parsed = jmespath.compile(text)
        tree = parsed.parsed
        found = [*_found(tree)]
        copies = _copies(tree)
    except (JMESPathError, LookupError) as error:
        raise UsageError(f"the expression {shown(text)} is no JMESPath: {_why(error)}") from None
    except RecursionError:
        raise UsageError(f"the expression {shown(text)} is nested too deeply") from None
    except UsageError as error:
        raise UsageError(f"the expression {shown(text)} will not do: {error}") from None
    if copies > COPIES_MAX:
        raise UsageError(
            f"the expression {shown(text)} could make more than {COPIES_MAX:,} copies of its data"
        )
    names = frozenset(name for name, _ in found)
    return Expression(text, parsed, names, frozenset(step for _, step in found if step))


def _check_literals(text: str) -> None:
    """The parser would take what is no JSON for text, and warn in a place that nobody sees."""
    for found in _QUOTED.finditer(text):
        literal = found["literal"]
        if literal is None:
            continue
        try:
            msgspec.json.decode(literal.replace("\\`", "`"))
        except (msgspec.DecodeError, RecursionError):
            raise UsageError(
                f"the expression {shown(text)} will not do: {shown(literal)} in backticks is no"
                " JSON; text stands in single quotes"
            ) from None


def encoded(value: object) -> bytes:
    """The value of an expression as JSON. Raises `ExpressionFailed` when it cannot be."""
    try:
        return msgspec.json.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ExpressionFailed(f"a value cannot be written as JSON: {error}") from None


def shown(text: str) -> str:
    """An expression in a message."""
    return repr(text if len(text) <= _SHOWN_CHARS_MAX else f"{text[:_SHOWN_CHARS_MAX]}…")


def _shown_value(value: object) -> str:
    if isinstance(value, list):
        return "a list"
    if isinstance(value, dict):
        return "an object"
    return shown(value) if isinstance(value, str) else str(value)


def _found(tree: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The names that are looked up in what a flow knows; `results` with the step it is of."""
    found: list[tuple[str, str]] = []
    _data(_look(tree, _ROOT, found))
    yield from found


def _look(node: Mapping[str, Any], at: object, found: list[tuple[str, str]]) -> object:
    """Where a part ends up that begins at `at`; what it names on the way is added to `found`."""
    kind, children = node["type"], node["children"]
    if kind == "field":
        return _field(node["value"], at, found)
    if kind in {"current", "identity"}:
        return at
    if kind in _LEAVES:
        return _data(at) if kind != "literal" else _DATA
    if kind in _IN_TURN:
        if children[0]["type"] == "not_expression":
            raise UsageError("'!' is about one name only; say !(input.a) for !input.a")
        for number, child in enumerate(children):
            # The condition of a filter sees the elements, as what comes after it.
            at = _look(child, at if number < 1 or kind in _IN_ORDER else _data(at), found)
            if kind.endswith("projection") and number == 0:
                at = _data(at)
        return at
    if kind == "function_expression" and node["value"] not in _FUNCTIONS:
        raise UsageError(
            f"there is no function {node['value']}(); one of {', '.join(sorted(_FUNCTIONS))}"
        )
    for child in children:
        inner = _DATA if kind == "expref" else at
        _data(_look(child, inner, found))
    return _DATA


def _field(name: str, at: object, found: list[tuple[str, str]]) -> object:
    if at is _ROOT:
        if name not in NAMES:
            raise UsageError(_unknown(name))
        if name == "results":
            return _RESULTS
        found.append((name, ""))
    elif at is _RESULTS:
        found.append(("results", name))
    return _DATA


def _unknown(name: str) -> str:
    if name in {"null", "true", "false"}:
        return f"{name} is a name here; as a value it stands in backticks"
    return (
        f"it begins with {name!r}; it may with {', '.join(NAMES)};"
        " text stands in single quotes, other values in backticks"
    )


def _data(at: object) -> object:
    if at is _ROOT:
        raise UsageError("'@' is everything that the flow knows; say what of it is meant")
    if at is _RESULTS:
        raise UsageError("it names 'results' as a whole; say which, as results.step")
    return _DATA


def _copies(node: Mapping[str, Any]) -> int:
    """How often, at most, the value holds what the expression is given."""
    kind = node["type"]
    if kind in _LEAVES or not node["children"]:
        return 1
    parts = [_copies(child) for child in node["children"]]
    if kind in _IN_TURN:
        return parts[0] * parts[1] if kind.endswith("projection") else _product(parts)
    if kind == "function_expression" and "expref" in {child["type"] for child in node["children"]}:
        return _product(parts)
    return sum(parts)


def _product(parts: list[int]) -> int:
    product = 1
    for part in parts:
        product = min(product * part, COPIES_MAX + 1)
    return product


def _why(error: Exception) -> str:
    """What the parser says, in one line and without the expression itself."""
    if isinstance(error, IncompleteExpressionError) or getattr(error, "token_value", None) == "":
        return "it breaks off"
    if isinstance(error, LexerError):
        return f"{error.message} at character {error.lex_position + 1}"
    if isinstance(error, ParseError):
        hint = "; a number stands in backticks" * (error.token_type.lower() == "number")
        where = f"at character {error.lex_position + 1}"
        return f"{str(error.token_value)!r} {where} does not fit there{hint}"
    return str(error).partition("\n")[0]
