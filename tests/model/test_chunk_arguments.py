"""How a job's arguments become a record in a chunk, and the one line that says why they do not."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, NotRequired, TypedDict, TypeVar

import msgspec
import pytest

from trioworker.errors import InvalidArguments, UsageError
from trioworker.model.chunk_arguments import Chunking, ChunkSignature

T = TypeVar("T")


class Wrapped(Generic[T]):
    """Stands for the calls that a worker makes of records."""


@dataclass
class Mail:
    """A record with all sorts of fields."""

    to: str
    subject: str = "hello"
    copies: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Checks what types cannot say."""
        if "@" not in self.to:
            raise ValueError(f"{self.to!r} is no address")


class Row(msgspec.Struct, frozen=True):
    """A record whose field has another name in JSON."""

    number: int
    label: str = msgspec.field(default="none", name="title")


class Point(TypedDict):
    """A record that is a dict at run time."""

    x: int
    y: NotRequired[int]


def mails(calls: list[Mail]) -> None:
    """Takes dataclasses."""


def rows(calls: Sequence[Row]) -> None:
    """Takes Structs."""


def points(calls: list[Point]) -> None:
    """Takes typed dicts."""


def anything(calls: list[dict[str, Any]]) -> None:
    """Takes what comes."""


def wrapped(calls: list[Wrapped[Row]]) -> None:
    """Takes calls, which know more than their arguments."""


def bare(calls: list[Wrapped]) -> None:  # type: ignore[type-arg]  # the point
    """Takes calls of anything."""


def signature(function: Callable[..., object]) -> ChunkSignature:
    """How this function is read."""
    return ChunkSignature("job", function, call_type=Wrapped)


@pytest.mark.parametrize(
    ("function", "args", "record"),
    [
        (mails, '{"to":"a@b"}', Mail("a@b", "hello", [])),
        (mails, '["a@b","hi",["c"]]', Mail("a@b", "hi", ["c"])),
        (rows, '{"number":1}', Row(1, "none")),
        (rows, '{"title":"one","number":1}', Row(1, "one")),
        (points, '{"x":1}', {"x": 1}),
        (points, "[1,2]", {"x": 1, "y": 2}),
        (anything, '{"a":[1],"b":null}', {"a": [1], "b": None}),
        (wrapped, '{"number":1}', Row(1, "none")),
        (bare, '{"a":1}', {"a": 1}),
    ],
)
def test_arguments_become_a_record(
    function: Callable[..., object], args: str, record: object
) -> None:
    """By name or by position, with the record's own defaults, whatever sort of record it is."""
    assert signature(function).record(args) == record
    assert signature(function).wants_context == (function in {wrapped, bare})


def test_records_do_not_share_their_defaults() -> None:
    """A list that one call changes is another list in the next call."""
    read = signature(mails)
    first, second = [read.record('{"to":"a@b"}') for _ in range(2)]
    assert isinstance(first, Mail)
    assert isinstance(second, Mail)
    assert first.copies is not second.copies


@pytest.mark.parametrize(
    ("function", "args", "line"),
    [
        (mails, "{}", "job 'job': the argument 'to' is missing"),
        (mails, '{"to":1}', "job 'job': the argument 'to': expected str, got int"),
        (mails, '{"to":"a"}', "job 'job': 'a' is no address"),
        (
            mails,
            '{"to":"a@b","bcc":1}',
            "job 'job': there is no argument 'bcc'; it takes to, subject, copies",
        ),
        (rows, '{"number":1,"label":""}', "there is no argument 'label'; it takes number, title"),
        (points, "[1,2,3]", "job 'job': 3 arguments by position are too many; it takes x, y"),
        (anything, "[1]", "job 'job': the arguments must be a JSON object (by name): Expected"),
        (anything, "{", "job 'job': the arguments must be a JSON object (by name): Input data was"),
    ],
)
def test_arguments_that_do_not_fit_are_one_line(
    function: Callable[..., object], args: str, line: str
) -> None:
    """The same words as for functions that take one job at a time."""
    with pytest.raises(InvalidArguments) as caught:
        signature(function).check(args)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def nothing() -> None:
    """Takes no calls."""


def two(calls: list[Mail], more: int) -> None:
    """Takes something besides."""


def by_name(*, calls: list[Mail]) -> None:
    """Takes its calls by name only."""


def untyped(calls) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001 - the point
    """Says nothing."""


def single(call: Mail) -> None:
    """Takes one job at a time."""


def numbers(calls: list[int]) -> None:
    """Takes what has no named arguments."""


def odd(calls: list[Callable[..., object]]) -> None:
    """Takes what is no JSON."""


@dataclass
class Strange:
    """A record with a field that is no JSON."""

    what: Wrapped[int]


def strange(calls: list[Strange]) -> None:
    """Takes what is not JSON deep inside."""


@pytest.mark.parametrize(
    ("function", "line"),
    [
        (nothing, "not () -> None"),
        (two, "not (calls: "),
        (by_name, "not (*, calls: "),
        (untyped, "not Any"),
        (single, "not Mail"),
        (numbers, "not of int"),
        (odd, "not of "),
        (strange, "of the argument 'what' is not made of JSON"),
    ],
)
def test_a_function_that_takes_no_list_of_records_is_refused(
    function: Callable[..., object], line: str
) -> None:
    """One line says what a chunk function takes and what this one does."""
    with pytest.raises(UsageError) as caught:
        signature(function)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("size", "linger_s", "line"),
    [
        (0, 0.0, "a chunk of 0 will not do; from 1 to 10000"),
        (10_001, 0.0, "a chunk of 10001 will not do"),
        (1, -1.0, "the linger_s of a chunk of -1 will not do; from 0 to 60"),
        (1, float("nan"), "the linger_s of a chunk of nan will not do"),
    ],
)
def test_the_bounds_of_a_chunk(size: int, linger_s: float, line: str) -> None:
    """What could never be is told at once."""
    with pytest.raises(UsageError, match=line):
        Chunking(size, linger_s)
