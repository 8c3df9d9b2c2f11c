"""How the lists of steps of a flow are gone through: what begins, and what follows from what ended.

    what a step comes to    what follows
    ----------------------  ---------------------------------------------------------------------
    Over: it has a result   the next step of its list; after the last one, the list has this result
    Broken: a failure       with continue_on_error its result is {"error": …}; an iteration or a
                            branch with skip_failure has null; else the list is broken, too, then
                            what is around it, and in the end the flow
    Stop (stop_after_if)    the innermost serial loop ends with the results so far, or the flow
    None: it stands         a job has to end first

Rule of this file: a list of steps that is under way stands at a job, or at a group that has such a
list in it. Where a failure is tolerated while others still run inside, it is noted there, and
nothing more begins inside until all have ended.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Final, NamedTuple, TypeAlias
from uuid import UUID

from trioworker.errors import UsageError
from trioworker.model.completion import storable
from trioworker.model.flow_expression import ExpressionFailed, read
from trioworker.model.flow_frames import Frame, frame_in, tolerates
from trioworker.model.flow_jobs import Maker, Owner
from trioworker.model.flow_plan import Plan
from trioworker.model.flow_preparing import Preparing
from trioworker.model.flow_scope import Missing, Scope
from trioworker.model.flow_state import (
    MESSAGE_CHARS_MAX,
    Body,
    Failure,
    FlowState,
    Group,
    Ref,
    place_text,
    ref_of,
)
from trioworker.model.flow_steps import (
    AnyStep,
    BranchAllStep,
    BranchOneStep,
    ForEachStep,
    JobStep,
    StopAfter,
    ValueStep,
    WhileStep,
    is_loop,
    is_parallel,
)
from trioworker.model.job import NewJob

RESULT_CHARS_MAX: Final = 500
"""Of the message in a result {"error": …}."""
_NO_MORE: Final = -1


class Over(NamedTuple):
    """A step, or a list of them, has ended with this result; not `ran` when it was skipped."""

    ref: Ref
    ran: bool = True


class Broken(NamedTuple):
    """It has failed."""

    failure: Failure


class Stop(NamedTuple):
    """Its last step has ended with this result and ends what is around it."""

    ref: Ref
    step: str
    by: StopAfter


Came: TypeAlias = Over | Broken | Stop | None
"""What a step or a list of steps has come to; None while something in it runs."""


class Machine:
    """Goes through one run. `jobs` are to be made, the results of `missing` to be read first."""

    def __init__(
        self,
        plan: Plan,
        state: FlowState,
        scope: Scope,
        owner: Owner,
        *,
        now: datetime,
        id_of: Callable[[str], UUID],
    ) -> None:
        self._plan = plan
        self._scope = scope
        self._maker = Maker(owner)
        self._preparing = Preparing(state, scope, now)
        self._id_of = id_of
        self.jobs: list[NewJob] = []
        self.missing: set[UUID] = set()

    def start(self, frame: Frame) -> Came:
        """Begin the step where the body stands."""
        return self._guarded(frame, lambda: self._start(frame))

    def step_out(self, frame: Frame, came: Came) -> Came:
        """Go on with a body whose step has come to `came`; what the body comes to."""
        while came is not None:
            if isinstance(came, Broken):
                came = self._tolerated(frame, came)
                if not isinstance(came, Over):
                    return came
            step = frame.step
            stop = self._stop(frame, step, came)
            self._note(frame, step, came.ref)
            if isinstance(stop, Stop | Broken):
                return stop
            if frame.body.pos == len(frame.steps):
                return Over(came.ref)
            came = self.start(frame)
        return None

    def _tolerated(self, frame: Frame, broken: Broken) -> Over | Broken | None:
        """What a step that has failed comes to; None when others still run inside of it."""
        node = frame.body.node
        waits = isinstance(node, Group) and bool(node.active)
        if not waits:
            frame.body.node = None
        if not frame.step.continue_on_error:
            return broken
        if waits:
            assert isinstance(node, Group)
            node.failed = broken.failure
            return None
        return Over(self._preparing.kept({"error": short(broken.failure)}), ran=False)

    def body_out(self, up: Frame, group: Group, key: int, came: Came) -> Came:
        """Enter what the body `key` of a group has come to; what the whole group comes to by it."""
        step, body = up.step, group.active[key]
        if came is None:
            return None
        slot = key if is_loop(step) or isinstance(step, BranchAllStep) else 0
        if isinstance(came, Broken):
            waits = body.node is not None
            if tolerates(step, key):
                body.failed = came.failure
            if not waits:
                del group.active[key]
            return None if tolerates(step, key) else came
        del group.active[key]
        group.results[slot] = came.ref
        if isinstance(came, Stop):
            return Over(group.results) if is_loop(step) else came
        return None

    def feed(self, up: Frame, group: Group, last: Frame | None = None) -> Came:
        """Begin as many bodies of a group as may run; `last` is the one that has just ended."""
        step = up.step
        width = _width(step)
        while len(group.active) < width:
            more = self._more(up, group, last)
            if more is None or isinstance(more, Broken):
                return more
            if more == _NO_MORE:
                break
            last = frame_in(up, group, more, Body())
            group.active[more] = last.body
            group.results.append(None)
            came = self.body_out(up, group, more, self.step_out(last, self.start(last)))
            if came is not None:
                return came
        if group.active:
            return None
        return Over(group.results[0] if isinstance(step, BranchOneStep) else group.results)

    def _more(self, up: Frame, group: Group, last: Frame | None) -> int | Broken | None:
        """The key of the next body; None when something has to be read to know it."""
        step, index = up.step, len(group.results)
        if not isinstance(step, WhileStep):
            return index if index < group.total else _NO_MORE
        asking = frame_in(up, group, index, Body(done={} if last is None else last.body.done))

        def ask() -> Came:
            self._scope.need(asking, [read(step.condition)])
            return Over(None, ran=self._scope.holds(asking, step.condition))

        came = self._guarded(up, ask)
        if not isinstance(came, Over):
            assert not isinstance(came, Stop)
            return came
        if came.ran and index >= step.max:
            why = f"the loop would go on after {step.max:,} iterations, the most it may have"
            return Broken(failure_at(up, "TooManyIterations", why))
        return index if came.ran else _NO_MORE

    def _start(self, frame: Frame) -> Came:
        step = frame.step
        self._scope.need(frame, self._plan.spots[step.id].asks)
        if step.skip_if is not None and self._scope.holds(frame, step.skip_if):
            return Over(None, ran=False)
        if isinstance(step, JobStep):
            return self._make(frame, step)
        if isinstance(step, ValueStep):
            return Over(self._preparing.kept_within(self._preparing.value(frame, step.value)))
        group = self._preparing.open(frame, step)
        if group is None:
            return Over(None)
        frame.body.node = group
        if isinstance(step, BranchOneStep):
            # The branch was chosen already, and only it is begun.
            (key,) = group.active
            inner = frame_in(frame, group, key, group.active[key])
            came = self.body_out(frame, group, key, self.step_out(inner, self.start(inner)))
            return came if came is not None else self.feed(frame, group)
        return self.feed(frame, group)

    def _make(self, frame: Frame, step: JobStep) -> Came:
        at = place_text(step.id, frame.indices)
        job = self._id_of(f"step {at}")
        self.jobs.append(self._maker.job(step, at, job, self._preparing.ready(frame, step)))
        frame.body.node = ref_of(job)
        return None

    def _stop(self, frame: Frame, step: AnyStep, came: Over | Stop) -> Stop | Broken | None:
        """Whether what is around the step ends with it; of no account while results are missing."""
        if isinstance(came, Stop):
            return came
        stop = step.stop_after_if
        if stop is None or not came.ran:
            return None
        asking = frame._replace(body=_with(frame.body, step.id, came.ref))

        def ask() -> Came:
            self._scope.need(asking, [read(stop.condition)])
            held = self._scope.holds(asking, stop.condition, came.ref)
            return Stop(came.ref, step.id, stop) if held else None

        return self._guarded(frame, ask)  # type: ignore[return-value]  # never Over

    def _note(self, frame: Frame, step: AnyStep, ref: Ref) -> None:
        """The step has ended; what was before it is forgotten unless it may be asked for."""
        body, plan = frame.body, self._plan
        body.node = None
        if step.id in plan.kept or step.id in plan.heard:
            body.done[step.id] = ref
        if body.pos > 0 and (before := frame.steps[body.pos - 1].id) not in plan.kept:
            body.done.pop(before, None)
        body.pos += 1

    def _guarded(self, frame: Frame, do: Callable[[], Came]) -> Came:
        """What a step comes to when what is asked of it may fail, or has to be read first."""
        try:
            return do()
        except Missing as missing:
            self.missing |= missing.jobs
            return None
        except ExpressionFailed as error:
            return Broken(failure_at(frame, "ExpressionFailed", str(error)))
        except UsageError as error:
            return Broken(failure_at(frame, "InvalidStep", str(error)))


def failure_at(frame: Frame, name: str, message: str, *, canceled: bool = False) -> Failure:
    """The failure of the step where the body stands."""
    at = place_text(frame.step.id, frame.indices)
    return Failure(frame.step.id, at, name, storable(message, MESSAGE_CHARS_MAX), canceled)


def short(failure: Failure) -> dict[str, str]:
    """A failure as the result of a step; there may be many of them."""
    return error_of(failure) | {"message": storable(failure.message, RESULT_CHARS_MAX)}


def error_of(failure: Failure) -> dict[str, str]:
    """A failure as expressions see it."""
    return {
        "step": failure.step,
        "at": failure.at,
        "name": failure.name,
        "message": failure.message,
    }


def _width(step: AnyStep) -> int:
    """How many bodies of a step run at a time."""
    if isinstance(step, ForEachStep) and not isinstance(step.parallel, bool):
        return step.parallel
    return 2**31 if is_parallel(step) else 1


def _with(body: Body, step: str, ref: Ref) -> Body:
    return Body(body.pos, body.done | {step: ref}, body.node)
