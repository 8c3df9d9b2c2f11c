"""A flow: steps as data, and how its definition is read.

Rule of this file: what was read is right; whoever holds a `Flow` need not look again. The message
about one that is not says where in the definition the mistake is.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal, get_args

import msgspec

from trioworker.errors import InvalidArguments, UsageError
from trioworker.model.bounds import (
    TAG_BYTES_MAX,
    bounded_priority,
    bounded_text,
)
from trioworker.model.flow_approval import NAME_BYTES_MAX, FieldType, FormField
from trioworker.model.flow_check import NO_TAG, at, check_flow
from trioworker.model.flow_steps import SORTS, AnyStep, FlowStep, FunctionStep, Part, ScriptStep
from trioworker.model.options import Limit, RetryPolicy

DEFINITION_BYTES_MAX: Final = 1024 * 1024
INPUTS_MAX: Final = 100

InputType = Literal["any", "string", "number", "boolean", "array", "object"]
OnWorkerLost = Literal["fail", "restart"]
FailureStep = FunctionStep | ScriptStep | FlowStep

_PYTHON_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "string": (str,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}
_WITH_BOUNDS: Final[Mapping[str, Any]] = {
    "retry": RetryPolicy | int | None,
    "limit": Limit | int | None,
    "form": dict[str, FormField],
}
"""The parts of a definition that are read elsewhere, too, and say nothing of places."""
_LOCATED: Final = re.compile(r"(?P<what>.*?)(?: - at `(?:key in )?(?P<place>\$.*)`)?", re.DOTALL)
_NUL: Final = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


class Input(Part, frozen=True, kw_only=True):
    """What a flow says about one thing in its input; `type` in JSON is of its value."""

    kind: InputType = msgspec.field(default="any", name="type")
    required: bool = False
    description: str = ""

    def holds(self, value: object) -> bool:
        """Whether the value is of this type."""
        if self.kind == "any":
            return True
        if isinstance(value, bool):
            return self.kind == "boolean"
        return isinstance(value, _PYTHON_TYPES[self.kind])


class Flow(Part, frozen=True, kw_only=True):
    """The definition of a flow.

    `steps` are run one after the other. `failure` is run when one of them failed; the flow fails
    nevertheless, unless what it returns has `"recover": true`. The result is that of the step
    `returns`, and is known as soon as that has ended, or else that of the last one. With
    `same_worker` all steps are run by the worker that began it, with a folder that they share;
    `on_worker_lost` says what becomes of the flow when it is lost. `tag` and `priority` are those
    of the steps that have none of their own, by default those of the run. `inputs` says what the
    input is made of.
    """

    steps: Sequence[AnyStep]
    description: str = ""
    inputs: Mapping[str, Input] = {}
    failure: FailureStep | None = None
    returns: str | None = None
    same_worker: bool = False
    on_worker_lost: OnWorkerLost = "fail"
    tag: str | None = None
    priority: int | None = None

    def __post_init__(self) -> None:
        """Raises `UsageError` when the flow could not be run as it says."""
        if self.tag is not None:
            with at("$.tag"):
                bounded_text("tag", self.tag, TAG_BYTES_MAX)
        if self.priority is not None:
            with at("$.priority"):
                bounded_priority(self.priority)
        self._check_same_worker()
        with at("$.inputs"):
            if len(self.inputs) > INPUTS_MAX:
                raise UsageError(f"{len(self.inputs)} inputs are too many; at most {INPUTS_MAX}")
            for name in self.inputs:
                bounded_text("name of an input", name, NAME_BYTES_MAX)
        with at("$.steps"):
            check_flow(self.steps, self.failure, self.returns, same_worker=self.same_worker)

    def _check_same_worker(self) -> None:
        if self.same_worker and self.tag is not None:
            with at("$.tag"):
                raise UsageError(NO_TAG)
        if self.on_worker_lost != "fail" and not self.same_worker:
            with at("$.on_worker_lost"):
                raise UsageError(
                    "only a flow with same_worker ends with its worker; the steps of any other are"
                    " given to another one"
                )


_decode: Final = msgspec.json.Decoder(Flow).decode
_encode: Final = msgspec.json.Encoder(order="deterministic").encode


def flow_of(text: bytes | str) -> Flow:
    """The flow that JSON text defines. Raises `UsageError` when it defines none."""
    encoded = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    if len(encoded) > DEFINITION_BYTES_MAX:
        raise UsageError(
            f"a definition of {len(encoded):,} bytes is too large; at most"
            f" {DEFINITION_BYTES_MAX:,}: let steps be flows of their own"
        )
    try:
        _refuse_nul(encoded.decode())
        return _decode(encoded)
    except msgspec.ValidationError as error:
        raise UsageError(_mismatch(str(error))) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"the flow is not JSON: {error}") from None
    except RecursionError:
        raise UsageError("the flow is nested too deeply") from None
    except UsageError:
        for place, why in _broken_bounds(msgspec.json.decode(encoded), "$"):
            raise UsageError(f"the flow will not do at {place}: {why}") from None
        raise


def definition(flow: Flow) -> bytes:
    """The JSON of a flow; equal flows have equal ones."""
    return _encode(flow)


def schema() -> dict[str, Any]:
    """The JSON Schema of a definition."""
    return msgspec.json.schema(Flow)


def check_input(flow: Flow, args: bytes) -> None:
    """Raises `InvalidArguments` when a run cannot have this input, which is JSON."""
    try:
        given = msgspec.json.decode(args)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidArguments(f"the input of the flow cannot be read: {error}") from None
    if not isinstance(given, dict):
        raise InvalidArguments("the input of a flow is a JSON object: what it is given by name")
    for name, said in flow.inputs.items():
        value = given.get(name)
        if value is None and said.required:
            raise InvalidArguments(f"the input of the flow lacks {name!r}")
        if value is not None and not said.holds(value):
            raise InvalidArguments(f"{name!r} in the input of the flow is not of type {said.kind}")


def _refuse_nul(text: str) -> None:
    if _NUL.search(text):
        raise UsageError("the flow contains a NUL character, which PostgreSQL cannot store")


def _mismatch(error: str) -> str:
    """What does not fit, in our words, and where."""
    located = _LOCATED.fullmatch(error)
    assert located is not None
    what = located["what"].replace("`", "'")
    place = located["place"] or "$"
    if place.endswith(".type") and what.startswith("Invalid "):
        known = get_args(InputType) if place.startswith("$.inputs") else SORTS
        what += f"; one of {', '.join(get_args(FieldType) if '.form[' in place else known)}"
    return f"the flow does not match its schema at {place}: {what[:1].lower()}{what[1:]}"


def _broken_bounds(part: object, place: str) -> Iterator[tuple[str, str]]:
    """The parts of a definition that say themselves what is wrong with them, and where they are."""
    if isinstance(part, list):
        for number, inner in enumerate(part):
            yield from _broken_bounds(inner, f"{place}[{number}]")
    elif isinstance(part, dict):
        for name, inner in part.items():
            if name in _WITH_BOUNDS:
                try:
                    msgspec.convert(inner, _WITH_BOUNDS[name])
                except msgspec.ValidationError:
                    continue
                except UsageError as error:
                    yield f"{place}.{name}", str(error)
            yield from _broken_bounds(inner, f"{place}.{name}")
