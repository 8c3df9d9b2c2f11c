"""Where a run stands: bodies under way, each with what is around it.

Rule of this file: it looks and changes nothing.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from trioworker.model.flow_plan import IN_LOOP, Plan
from trioworker.model.flow_state import Body, Group, Ref, place_of
from trioworker.model.flow_steps import (
    AnyStep,
    BranchAllStep,
    BranchOneStep,
    ForEachStep,
    WhileStep,
    is_loop,
    is_parallel,
)


class Frame(NamedTuple):
    """A body under way, with what is around it: `key` is its own in the `group` of `up`'s step."""

    body: Body
    steps: Sequence[AnyStep]
    indices: tuple[int, ...] = ()
    up: "Frame | None" = None
    group: Group | None = None
    key: int = 0

    @property
    def step(self) -> AnyStep:
        """The step where it stands."""
        return self.steps[self.body.pos]


class Loop(NamedTuple):
    """An iteration: the body `up` that stands at the loop, and which iteration it is."""

    up: Frame
    step: AnyStep
    group: Group
    key: int


class Halt(NamedTuple):
    """What has failed and waits: a body, or the group `inside` of it where it stands."""

    frame: Frame
    inside: bool


def frame_in(up: Frame, group: Group, key: int, body: Body) -> Frame:
    """The body `key` of the group where the body `up` stands."""
    step = up.step
    indices = (*up.indices, key) if is_loop(step) else up.indices
    return Frame(body, steps_in(step, key), indices, up, group, key)


def steps_in(step: AnyStep, key: int) -> Sequence[AnyStep]:
    """The steps of the body `key` inside a step."""
    match step:
        case ForEachStep(steps=steps) | WhileStep(steps=steps):
            return steps
        case BranchOneStep(branches=branches, default=default):
            return branches[key].steps if key < len(branches) else default
        case BranchAllStep(branches=branches):
            return branches[key].steps
        case _:
            raise AssertionError(f"{step.id} has no steps inside")


def tolerates(step: AnyStep, key: int) -> bool:
    """Whether a body inside the step may fail, and has null for it."""
    if isinstance(step, BranchAllStep):
        return step.branches[key].skip_failure
    return isinstance(step, ForEachStep) and step.skip_failure


def frame_at(plan: Plan, top: Frame, at: str) -> Frame | None:
    """The body that stands at this place; None when none does."""
    place = place_of(at)
    spot = None if place is None else plan.spots.get(place.step)
    if place is None or spot is None:
        return None
    frame, indices = top, [*place.indices]
    for link in spot.inside:
        group = frame.body.node
        if frame.body.pos != link.pos or not isinstance(group, Group):
            return None
        key = link.branch
        if key == IN_LOOP:
            key = indices.pop(0) if indices else IN_LOOP
        if key not in group.active:
            return None
        frame = frame_in(frame, group, key, group.active[key])
    return None if indices or frame.body.pos != spot.pos else frame


def around(frame: Frame | None) -> Iterator[Frame]:
    """A body and those it is inside of, the innermost first."""
    while frame is not None:
        yield frame
        frame = frame.up


def reaches(frame: Frame, halt: Halt) -> bool:
    """Whether a failure of the body's step is one of what has failed around it."""
    if frame.step.continue_on_error:
        return False
    while frame.body is not halt.frame.body:
        assert frame.up is not None
        if tolerates(frame.up.step, frame.key):
            return False
        frame = frame.up
        if frame.step.continue_on_error:
            return halt.inside and frame.body is halt.frame.body
    return True


def previous(frame: Frame) -> Ref:
    """The result of the step before the one where the body stands."""
    if frame.body.pos > 0:
        return frame.body.done.get(frame.steps[frame.body.pos - 1].id)
    if frame.up is None:
        return None
    if not is_loop(frame.up.step):
        return previous(frame.up)
    if is_parallel(frame.up.step) or frame.key == 0:
        return None
    assert frame.group is not None
    before: Ref = frame.group.results[frame.key - 1]
    return before


def result_of(frame: Frame, step: str) -> Ref:
    """What a step returned that is before the place of the body or around it."""
    for outer in around(frame):
        if step in outer.body.done:
            return outer.body.done[step]
    return None


def loops_around(frame: Frame) -> Iterator[Loop]:
    """The iterations that a body is in, the innermost first, itself included."""
    for inner in around(frame):
        if inner.up is not None and inner.group is not None and is_loop(inner.up.step):
            yield Loop(inner.up, inner.up.step, inner.group, inner.key)
