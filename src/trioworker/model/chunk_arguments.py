"""How the arguments of a job become one record in the list that a chunk function takes.

Rule of this file: as for all functions, a signature is read once and what it cannot express is told
then. Arguments are checked job by job, before their chunk forms, so that bad ones cost one job.
"""

import inspect
import typing
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from trioworker.errors import InvalidArguments, UsageError
from trioworker.model.arguments import Arguments, hints_of, refuse_unless_json
from trioworker.model.bounds import check_whole_number
from trioworker.model.options import within

CHUNK_MAX: Final = 10_000
LINGER_S: Final = 0.01
LINGER_S_MAX: Final = 60.0

_MARKS: Final = (typing.Required, typing.NotRequired)
_RECORDS: Final = (
    msgspec.inspect.StructType,
    msgspec.inspect.DataclassType,
    msgspec.inspect.TypedDictType,
)
_UNSET: Final = msgspec.UNSET


class Chunking(msgspec.Struct, frozen=True):
    """At most `size` calls become one, and the first of them waits `linger_s` seconds for more."""

    size: int
    linger_s: float = LINGER_S

    def __post_init__(self) -> None:
        """Raises `UsageError` when a bound is broken."""
        check_whole_number("the size of a chunk", self.size)
        within("a chunk", self.size, 1, CHUNK_MAX)
        within("the linger_s of a chunk", self.linger_s, 0.0, LINGER_S_MAX)


class ChunkSignature:
    """The calls that `function`, the job `name`, takes as a list.

    Its one parameter is a list of records: dataclasses, msgspec Structs, TypedDicts or dicts, whose
    fields are the arguments of a job. They may stand inside `call_type`, which whoever calls makes.
    Raises `UsageError` when the function takes anything else.
    """

    def __init__(
        self, name: str, function: Callable[..., object], *, call_type: type[object]
    ) -> None:
        self._name = name
        parameters = list(inspect.signature(function).parameters.values())
        if len(parameters) != 1 or parameters[0].kind in {
            inspect.Parameter.KEYWORD_ONLY,
            inspect.Parameter.VAR_KEYWORD,
            inspect.Parameter.VAR_POSITIONAL,
        }:
            raise self._refusal(f"not {inspect.signature(function)}")
        hint = hints_of(name, function).get(parameters[0].name, Any)
        if typing.get_origin(hint) not in {list, Sequence}:
            raise self._refusal(f"not {_shown(hint)}")
        (item,) = typing.get_args(hint)
        self.wants_context = (typing.get_origin(item) or item) is call_type
        self._record = next(iter(typing.get_args(item)), dict) if self.wants_context else item
        self._arguments: Arguments | None = None
        if (typing.get_origin(self._record) or self._record) is not dict:
            self._arguments = self._fields_of_record()

    def record(self, args: str | bytes) -> object:
        """The record of one job's arguments. Raises `InvalidArguments`."""
        if self._arguments is None:
            return self._by_any_name(args)
        values = self._arguments.decoded(args).items()
        given = {self._encoded[name]: value for name, value in values if value is not _UNSET}
        try:
            return self._record(**given)
        except (ValueError, TypeError) as error:  # what a __post_init__ says
            raise self._arguments.invalid(str(error)) from error

    def check(self, args: str | bytes) -> None:
        """Raise `InvalidArguments` when `args` do not fit."""
        self.record(args)

    def by_name(self, args: bytes) -> bytes:
        """The same arguments as a JSON object, if they are given by position."""
        return args if self._arguments is None else self._arguments.by_name(args)

    def _fields_of_record(self) -> Arguments:
        try:
            info = msgspec.inspect.type_info(self._record)
        except TypeError as error:
            raise self._refusal(f"not of {_shown(self._record)}: {error}") from error
        if not isinstance(info, _RECORDS):
            raise self._refusal(f"not of {_shown(self._record)}")
        hints = hints_of(self._name, typing.get_origin(self._record) or self._record)
        fields = []
        for field in info.fields:
            hint = _unmarked(hints[field.name])
            refuse_unless_json(self._name, field.name, hint)
            default = msgspec.field() if field.required else msgspec.field(default=_UNSET)
            fields.append((field.encode_name, hint, default))
        self._encoded = {field.encode_name: field.name for field in info.fields}
        return Arguments(self._name, fields, tuple(self._encoded))

    def _by_any_name(self, args: str | bytes) -> object:
        try:
            return msgspec.json.decode(args, type=self._record)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidArguments(
                f"job '{self._name}': the arguments must be a JSON object (by name): {error}"
            ) from None

    def _refusal(self, what: str) -> UsageError:
        return UsageError(
            f"job '{self._name}': a chunk function takes one parameter, a list of records (a"
            f" dataclass, msgspec Struct, TypedDict or dict) or of Call[record], {what}"
        )


def _unmarked(hint: Any) -> Any:  # noqa: ANN401 - any type hint
    """The type in a field of a TypedDict that is marked as required or not."""
    return typing.get_args(hint)[0] if typing.get_origin(hint) in _MARKS else hint


def _shown(hint: Any) -> str:  # noqa: ANN401 - any type hint
    plain = isinstance(hint, type) and not typing.get_args(hint)
    return hint.__qualname__ if plain else str(hint).removeprefix("typing.")
