"""What can be known of a flow before it is run: where its steps stand, and what is ever asked for.

Rule of this file: made once for each flow and looked up at each end of a step.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final, NamedTuple

from trioworker.model.flow import Flow
from trioworker.model.flow_expression import Expression, read
from trioworker.model.flow_jobs import said
from trioworker.model.flow_state import Place
from trioworker.model.flow_steps import (
    AnyStep,
    ApprovalStep,
    BranchOneStep,
    CallStep,
    FlowStep,
    ForEachStep,
    SleepStep,
    ValueStep,
    WhileStep,
    bodies,
    is_loop,
)

IN_LOOP: Final = -1


class Link(NamedTuple):
    """A step that another one is inside of: its position, and which `branch`, or `IN_LOOP`."""

    step: AnyStep
    pos: int
    branch: int


class Spot(NamedTuple):
    """Where a step stands in the flow, and the expressions that are asked when it begins."""

    step: AnyStep
    pos: int
    inside: tuple[Link, ...]
    asks: tuple[Expression, ...]


class Plan(NamedTuple):
    """All steps by name; which results may be asked for later on, and which of them right after."""

    spots: Mapping[str, Spot]
    kept: frozenset[str]
    heard: frozenset[str]

    def order(self, place: Place) -> tuple[int, ...]:
        """Something to sort places by, as they come in the definition."""
        spot = self.spots[place.step]
        indices = iter(place.indices)
        order: list[int] = []
        for link in spot.inside:
            order += (link.pos, next(indices, 0) if link.branch == IN_LOOP else link.branch)
        return (*order, spot.pos)


def plan_of(flow: Flow) -> Plan:
    """The plan of a flow."""
    return _plan(_Same(flow))


class _Same:
    """A flow as a key: it is equal to itself only, and need not be read for that."""

    def __init__(self, flow: Flow) -> None:
        self.flow = flow

    def __hash__(self) -> int:
        return id(self.flow)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.flow is self.flow


@lru_cache(maxsize=256)
def _plan(key: _Same) -> Plan:
    flow = key.flow
    spots = dict(_spots(flow.steps, ()))
    asked = [each for spot in spots.values() for each in (*spot.asks, *_asks_later(spot.step))]
    if flow.failure is not None:
        asks = tuple(_asks(flow.failure))
        spots[flow.failure.id] = Spot(flow.failure, len(flow.steps), (), asks)
        asked += asks
    kept = {step for expression in asked for step in expression.results}
    return Plan(spots, frozenset(kept | {flow.returns or ""}), frozenset(_heard(flow.steps)))


def _spots(steps: Sequence[AnyStep], inside: tuple[Link, ...]) -> Iterator[tuple[str, Spot]]:
    for pos, step in enumerate(steps):
        yield step.id, Spot(step, pos, inside, tuple(_asks(step)))
        for branch, body in bodies(step):
            link = Link(step, pos, IN_LOOP if is_loop(step) else branch)
            yield from _spots(body, (*inside, link))


def _heard(steps: Sequence[AnyStep]) -> Iterator[str]:
    """The steps whose results the next one asks for as `previous`."""
    for before, step in pairwise(steps):
        if _hears(step):
            yield before.id
    for step in steps:
        for _, body in bodies(step):
            yield from _heard(body)


def _hears(step: AnyStep) -> bool:
    """Whether the step asks for `previous`, or the first one of a branch in it does."""
    asked = (*_asks(step), *_stops(step))
    if any("previous" in expression.names for expression in asked):
        return True
    return not is_loop(step) and any(_hears(body[0]) for _, body in bodies(step) if body)


def _asks(step: AnyStep) -> Iterator[Expression]:
    """What is asked when the step begins."""
    if step.skip_if is not None:
        yield read(step.skip_if)
    match step:
        case CallStep(args=args) | FlowStep(args=args):
            yield from _said(args.values() if isinstance(args, dict) else args)
        case SleepStep(seconds=seconds):
            yield from _said([seconds])
        case ApprovalStep(approvers=approvers, message=message):
            yield from _said([approvers, message])
        case ValueStep(value=value):
            yield from _said([value])
        case ForEachStep(items=items):
            yield from _said([items])
        case BranchOneStep(branches=branches):
            yield from (read(case.condition) for case in branches)


def _said(values: Any) -> Iterator[Expression]:  # noqa: ANN401 - constants among them
    for value in values:
        if (expression := said(value)) is not None:
            yield read(expression.expr)


def _asks_later(step: AnyStep) -> Iterator[Expression]:
    """What is asked when it has begun or has ended."""
    if isinstance(step, WhileStep):
        yield read(step.condition)
    yield from _stops(step)


def _stops(step: AnyStep) -> Iterator[Expression]:
    if step.stop_after_if is not None:
        yield read(step.stop_after_if.condition)
