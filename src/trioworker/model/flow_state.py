"""How far a run of a flow has come: small, because it is stored with each end of a step.

    part of the state        what it is
    -----------------------  ------------------------------------------------------------------
    Body                     a list of steps under way: where it stands, what of it has ended
    Group                    the bodies of a loop or of branches, those under way and the results
    ref                      a result: text is the id of the job that has it, a list a ref for
                             each part, {"v": …} the value itself, null is null

Rule of this file: data, and how it is written down. What an iteration did is forgotten when it has
ended, but for the ref of its result; what jobs returned stands in their rows and nowhere else.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple, TypeAlias
from uuid import UUID

import msgspec

MESSAGE_CHARS_MAX: Final = 2_000
"""Of the message of a failure, in the state."""

Ref: TypeAlias = str | list[Any] | dict[str, Any] | None

_PLACE: Final = re.compile(r"(?P<step>[A-Za-z_][A-Za-z0-9_]*)(?P<indices>(?:\[[0-9]{1,5}\])*)")


class Failure(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A step that failed, or was canceled, at the place `at`; expressions see it as `error`."""

    step: str
    at: str
    name: str
    message: str
    canceled: bool = False


class Body(
    msgspec.Struct, omit_defaults=True, gc=False, rename={"pos": "p", "done": "d", "node": "n"}
):
    """A list of steps under way, which stands at the step `pos`.

    `done` are results of ended steps, as far as they may be asked for; `node` is the job of the
    step where it stands, or the group of bodies inside it. A body that has `failed` waits for what
    still runs inside it.
    """

    pos: int = 0
    done: dict[str, Ref] = {}
    node: "str | Group | None" = None
    failed: Failure | None = None


class Group(msgspec.Struct, omit_defaults=True, gc=False):
    """What runs inside a step: bodies by the index of the iteration or the number of the branch.

    `results` has a place for each body that was begun. `total` is how many there will be, -1 when
    nobody knows; `items` those of a loop, when they are few enough to be kept. A group that has
    `failed` waits for what still runs inside it.
    """

    total: int
    active: dict[int, Body] = {}
    results: list[Any] = []
    items: list[Any] | None = None
    failed: Failure | None = None


class FlowState(msgspec.Struct, omit_defaults=True):
    """The whole of it. `body` are the flow's own steps.

    With `failed` no step is begun any more; `handling` is the job of the failure step. `kept`
    counts the bytes of values that no job has.
    """

    body: Body
    failed: Failure | None = None
    handling: str | None = None
    kept: int = 0
    over: bool = False


class Place(NamedTuple):
    """Where a step stands: its name, and the index of the iteration in each loop around it."""

    step: str
    indices: tuple[int, ...]


encode: Final = msgspec.json.Encoder().encode
decode: Final = msgspec.json.Decoder(FlowState).decode


def copy(state: FlowState) -> FlowState:
    """The same, to be changed."""
    return decode(encode(state))


def place_text(step: str, indices: Sequence[int]) -> str:
    """A place as it is written: `pay[3][0]` for the step pay, in the fourth iteration outside."""
    return step + "".join(f"[{index}]" for index in indices)


def place_of(text: str) -> Place | None:
    """The place that was written so; None when none is."""
    found = _PLACE.fullmatch(text)
    if found is None:
        return None
    indices = found["indices"].strip("[]").split("][") if found["indices"] else ()
    return Place(found["step"], tuple(map(int, indices)))


def ref_of(job: UUID) -> str:
    """The result of a job."""
    return urlsafe_b64encode(job.bytes)[:22].decode()


def job_of(ref: str) -> UUID:
    """The job whose result it is."""
    return UUID(bytes=urlsafe_b64decode(ref + "=="))


def jobs_of(ref: Ref) -> Iterator[UUID]:
    """All jobs that a result is made of."""
    if isinstance(ref, str):
        yield job_of(ref)
    elif isinstance(ref, list):
        for part in ref:
            yield from jobs_of(part)


def running(state: FlowState) -> Iterator[str]:
    """The jobs of the state that have not ended, as refs."""
    if state.handling is not None and not state.over:
        yield state.handling
    yield from _running(state.body)


def _running(body: Body) -> Iterator[str]:
    if isinstance(body.node, Group):
        for inner in body.node.active.values():
            yield from _running(inner)
    elif body.node is not None:
        yield body.node
