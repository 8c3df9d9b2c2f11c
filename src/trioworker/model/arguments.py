"""How JSON text becomes the call of a function, and in which words it does not.

Rule of this file: a signature is read once, when it is made; what it cannot express in JSON is
told then. Whatever does not fit later is told in one line that names the argument.
"""

import inspect
import re
import typing
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import msgspec

from trioworker.errors import InvalidArguments, UsageError

_BY_NAME: Final = {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}
_ARGUMENT_IN_PATH: Final = re.compile(r"(?P<what>.*) - at (?P<key>`key` in )?`\$\.?(?P<path>.*)`")
_FIRST_OF_PATH: Final = re.compile(r"(?P<argument>\w+)(?P<rest>.*)")
_MISSING: Final = "Object missing required field "
_UNKNOWN: Final = "Object contains unknown field "
TOO_DEEP: Final = "the arguments are nested too deeply"
_decode_positions: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode


class Arguments:
    """The arguments of the job `name`: `fields` by name, of which `positional` also by position."""

    def __init__(
        self, name: str, fields: Sequence[tuple[str, Any, Any]], positional: Sequence[str]
    ) -> None:
        self._name = name
        self._names = tuple(field[0] for field in fields)
        self._positional = positional
        struct = msgspec.defstruct("Args", fields, kw_only=True, forbid_unknown_fields=True)
        self._decode = msgspec.json.Decoder(struct).decode

    def decoded(self, args: str | bytes) -> dict[str, Any]:
        """The values by name. Raises `InvalidArguments` when `args` do not fit."""
        try:
            return msgspec.structs.asdict(self._decode(args))
        except msgspec.ValidationError as error:
            if (text := _stripped(args)).startswith("["):
                return self.decoded(self._by_name(text))
            raise self.invalid(self._explain(str(error))) from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self.invalid(f"the arguments are not JSON: {error}") from None
        except RecursionError:
            raise self.invalid(TOO_DEEP) from None

    def by_name(self, args: bytes) -> bytes:
        """The same arguments as a JSON object, if they are given by position."""
        text = _stripped(args)
        return self._by_name(text).encode() if text.startswith("[") else args

    def invalid(self, why: str) -> InvalidArguments:
        """The refusal of arguments, in the words that all refusals share."""
        return InvalidArguments(f"job '{self._name}': {why}")

    def _by_name(self, array: str) -> str:
        try:
            values = _decode_positions(array)
        except RecursionError:
            raise self.invalid(TOO_DEEP) from None
        if len(values) > len(self._positional):
            raise self.invalid(
                f"{len(values)} arguments by position are too many; it takes {self._takes()}"
            )
        pairs = zip(self._positional, values, strict=False)
        return "{" + ",".join(f'"{name}":{bytes(value).decode()}' for name, value in pairs) + "}"

    def _explain(self, error: str) -> str:
        if error.startswith(_MISSING) and " - at " not in error:
            return f"the argument {_quoted(error.removeprefix(_MISSING))} is missing"
        if error.startswith(_UNKNOWN) and " - at " not in error:
            unknown = _quoted(error.removeprefix(_UNKNOWN))
            return f"there is no argument {unknown}; it takes {self._takes()}"
        located = _ARGUMENT_IN_PATH.fullmatch(error)
        if located is None:
            return (
                "the arguments must be a JSON object (by name) or an array (by position):"
                f" {_plain(error)}"
            )
        what = ("a key of it: " if located["key"] else "") + _plain(located["what"])
        place = _FIRST_OF_PATH.fullmatch(located["path"])
        assert place is not None
        rest = f" at {place['rest']}" if place["rest"] else ""
        return f"the argument '{place['argument']}'{rest}: {what}"

    def _takes(self) -> str:
        return ", ".join(self._names) or "no arguments"


class Signature:
    """The arguments of the job `name`, that is of `function`.

    One parameter may be annotated with `context_type`: it is filled by whoever binds, never by
    the JSON. Raises `UsageError` when a parameter can have no value in JSON.
    """

    def __init__(
        self, name: str, function: Callable[..., object], *, context_type: type[object]
    ) -> None:
        self._function = function
        hints = hints_of(name, function)
        parameters = inspect.signature(function).parameters.values()
        self._context = next((p.name for p in parameters if hints.get(p.name) is context_type), "")
        arguments = [p for p in parameters if p.name != self._context]
        self._arguments = Arguments(
            name,
            [_field(name, p, hints) for p in arguments],
            tuple(p.name for p in arguments if p.kind is not p.KEYWORD_ONLY),
        )

    @property
    def wants_context(self) -> bool:
        """Whether a parameter is annotated with the context type."""
        return bool(self._context)

    def bind(self, args: str | bytes, context: object = None) -> Callable[[], Any]:
        """The call that `args` ask for: a JSON object (by name) or array (by position).

        Raises `InvalidArguments`.
        """
        keywords = self._arguments.decoded(args)
        if self._context:
            keywords[self._context] = context
        return partial(self._function, **keywords)

    def check(self, args: str | bytes) -> None:
        """Raise `InvalidArguments` when `args` do not fit."""
        self._arguments.decoded(args)

    def by_name(self, args: bytes) -> bytes:
        """The same arguments as a JSON object, if they are given by position."""
        return self._arguments.by_name(args)


def hints_of(name: str, annotated: Any) -> dict[str, Any]:  # noqa: ANN401 - a function or a class
    """The type hints of something of the job `name`. Raises `UsageError` when they cannot be read.

    Its cause is a `NameError` when a name in them does not exist, or not yet.
    """
    try:
        return typing.get_type_hints(annotated, include_extras=True)
    except (NameError, TypeError, SyntaxError, AttributeError) as error:
        raise UsageError(f"job '{name}': its type hints cannot be read: {error}") from error


def refuse_unless_json(job: str, name: str, hint: object) -> None:
    """Raise `UsageError` when the argument `name` can have no value in JSON."""
    try:
        custom = isinstance(msgspec.inspect.type_info(hint), msgspec.inspect.CustomType)
        why = "is not made of JSON"
    except TypeError as error:
        custom, why = True, f"cannot be read from JSON: {error}"
    if custom:
        shown = getattr(hint, "__qualname__", str(hint))
        raise UsageError(
            f"job '{job}': the type {shown} of the argument '{name}' {why};"
            " take numbers, text, lists, dicts, dataclasses or msgspec Structs"
        )


def _field(job: str, parameter: inspect.Parameter, hints: dict[str, Any]) -> tuple[str, Any, Any]:
    name = parameter.name
    if parameter.kind not in _BY_NAME:
        raise UsageError(
            f"job '{job}': {parameter} has no name that JSON could give;"
            " take ordinary parameters, or one that is a list or a dict"
        )
    hint = hints.get(name, Any)
    refuse_unless_json(job, name, hint)
    if parameter.default is parameter.empty:
        return name, hint, msgspec.field()
    # A factory, because msgspec refuses mutable defaults and Python does not.
    return name, hint, msgspec.field(default_factory=partial(_itself, parameter.default))


def _itself(value: object) -> object:
    return value


def _stripped(args: str | bytes) -> str:
    return (args if isinstance(args, str) else args.decode()).lstrip()


def _quoted(name: str) -> str:
    return "'" + name.strip("`") + "'"


def _plain(message: str) -> str:
    message = message.replace("`", "")
    return message[:1].lower() + message[1:]
