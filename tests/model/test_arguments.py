"""How JSON becomes a call, and the one line that says why it does not."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
import pytest

from trioworker.errors import InvalidArguments, UsageError
from trioworker.model.arguments import Signature


class Context:
    """Stands for what a worker passes in."""


@dataclass
class Point:
    """A nested argument."""

    x: int
    y: int


def resize(
    width: int, unit: Literal["px", "cm"] = "px", *, names: list[str] | None = None
) -> tuple[int, str, list[str] | None]:
    """All sorts of parameters."""
    return width, unit, names


def draw(at: Point, context: Context, scale: Annotated[float, msgspec.Meta(gt=0)] = 1.0) -> object:
    """Types that are not JSON's own, and a context."""
    return at, context, scale


def loose(a, b=[]):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201, B006 - the point
    """No types at all."""
    return a, b


def nothing() -> str:
    """No arguments."""
    return "called"


def bound(function: Callable[..., Any], args: str, context: object = None) -> Any:  # noqa: ANN401 - of any function
    """What `function` returns for `args`."""
    return Signature("job", function, context_type=Context).bind(args, context)()


def refusal(function: Callable[..., Any], args: str) -> str:
    """The line that refuses `args`."""
    with pytest.raises(InvalidArguments) as caught:
        bound(function, args)
    return str(caught.value)


@pytest.mark.parametrize(
    ("args", "result"),
    [
        ('{"width":3}', (3, "px", None)),
        (' {"names":["a"],"width":3,"unit":"cm"}', (3, "cm", ["a"])),
        ("[3]", (3, "px", None)),
        (' [3,"cm"] ', (3, "cm", None)),
    ],
)
def test_an_object_binds_by_name_and_an_array_by_position(args: str, result: object) -> None:
    """Both shapes of arguments make the same call that Python would make."""
    assert bound(resize, args) == result


def test_a_function_without_arguments_takes_the_empty_object_and_array() -> None:
    """Nothing to pass is said either way."""
    assert bound(nothing, "{}") == bound(nothing, "[]") == "called"


def test_types_are_made_from_their_json() -> None:
    """A dataclass argument arrives as that dataclass."""
    context = Context()
    assert bound(draw, '{"at":{"x":1,"y":2}}', context) == (Point(1, 2), context, 1.0)


def test_a_default_is_the_very_object_that_python_would_use() -> None:
    """Defaults keep Python's meaning, mutable ones included."""
    assert bound(loose, "[1]")[1] is inspect.signature(loose).parameters["b"].default


def test_arguments_without_a_type_take_any_json() -> None:
    """Typing is offered, not demanded."""
    assert bound(loose, '{"a":{"deep":[1,null]},"b":true}') == ({"deep": [1, None]}, True)


@pytest.mark.parametrize(
    ("function", "args", "line"),
    [
        (resize, '{"width":"3"}', "the argument 'width': expected int, got str"),
        (resize, '["3"]', "the argument 'width': expected int, got str"),
        (resize, '{"width":3,"unit":"km"}', "the argument 'unit': invalid enum value 'km'"),
        (
            resize,
            '{"width":3,"names":["a",1]}',
            "the argument 'names' at [1]: expected str, got int",
        ),
        (draw, '{"at":{"x":1}}', "the argument 'at': object missing required field y"),
        (draw, '{"at":{"x":1,"y":"z"}}', "the argument 'at' at .y: expected int, got str"),
        (draw, '{"at":{"x":1,"y":2},"scale":0}', "the argument 'scale': expected float > 0.0"),
        (resize, "{}", "the argument 'width' is missing"),
        (resize, "[]", "the argument 'width' is missing"),
        (
            resize,
            '{"width":3,"widht":4}',
            "there is no argument 'widht'; it takes width, unit, names",
        ),
        (draw, '{"context":1}', "there is no argument 'context'; it takes at, scale"),
        (nothing, '{"a":1}', "there is no argument 'a'; it takes no arguments"),
        (nothing, "[1]", "1 arguments by position are too many; it takes no arguments"),
        (
            resize,
            '[3,"cm",["a"]]',
            "3 arguments by position are too many; it takes width, unit, names",
        ),
        (
            resize,
            "null",
            "the arguments must be a JSON object (by name) or an array (by position): expected",
        ),
        (resize, "{width:3}", "the arguments are not JSON: JSON is malformed: object keys"),
        (resize, "", "the arguments are not JSON: Input data was truncated"),
    ],
)
def test_what_does_not_fit_is_told_in_one_line(
    function: Callable[..., Any], args: str, line: str
) -> None:
    """The line names the job, the argument, and what was expected of it."""
    told = refusal(function, args)
    assert told.startswith(f"job 'job': {line}")
    assert "\n" not in told


def test_a_bad_key_of_a_dict_names_its_argument() -> None:
    """Keys are told from values."""

    def count(by_day: dict[int, int]) -> dict[int, int]:
        return by_day

    told = refusal(count, '{"by_day":{"monday":1}}')
    assert told.startswith("job 'job': the argument 'by_day': a key of it: expected int, got")


def test_arguments_can_be_checked_without_a_call() -> None:
    """A client asks before it enqueues."""
    signature = Signature("job", resize, context_type=Context)
    signature.check('{"width":3}')
    with pytest.raises(InvalidArguments, match="is missing"):
        signature.check("{}")


def takes_a_class(thing: Context, other: Callable[[], int]) -> None:
    """A function is not made of JSON."""


def takes_a_mixture(thing: int | Signature) -> None:
    """Nobody could tell the two apart."""


def takes_the_unknown(thing: "Nowhere") -> None:  # type: ignore[name-defined]  # noqa: F821 - the point
    """A name that never comes to exist."""


@pytest.mark.parametrize(
    ("function", "line"),
    [
        (takes_a_class, r"the type .*Callable.* of the argument 'other' is not made of JSON; take"),
        (takes_a_mixture, "the type .* of the argument 'thing' cannot be read from JSON: "),
        (takes_the_unknown, "its type hints cannot be read: name 'Nowhere' is not defined"),
        (lambda *several: several, r"\*several has no name that JSON could give; take ordinary"),
        (lambda **more: more, r"\*\*more has no name that JSON could give; take ordinary"),
        (lambda first, /: first, "first has no name that JSON could give; take ordinary"),
    ],
)
def test_a_function_that_json_cannot_call_is_refused_at_once(
    function: Callable[..., Any], line: str
) -> None:
    """What can never work is told when the signature is read, before any job comes."""
    with pytest.raises(UsageError, match=f"^job 'job': {line}"):
        Signature("job", function, context_type=Context)


@pytest.mark.parametrize("args", ['{"b": ' + "[" * 100_000, "[" * 100_000])
def test_arguments_that_are_nested_too_deeply_are_invalid(args: str) -> None:
    """Whoever enqueues them is told so; of a worker that is handed them only the job fails."""
    with pytest.raises(InvalidArguments, match="nested too deeply"):
        Signature("job", loose, context_type=Context).bind(args)
