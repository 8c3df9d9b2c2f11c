"""One call upon a run of a flow: its beginning, or the ends of some of its steps.

Rule of this file: it goes from the step that has ended outwards; inwards, to what begins next, goes
`flow_machine.py`. Inside of what has failed it only waits, until nothing runs there.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from trioworker.errors import InvalidArguments
from trioworker.model.flow import check_input
from trioworker.model.flow_frames import Frame, Halt, around, frame_at, reaches
from trioworker.model.flow_jobs import Owner
from trioworker.model.flow_machine import (
    Broken,
    Came,
    Machine,
    Over,
    Stop,
    error_of,
    failure_at,
)
from trioworker.model.flow_plan import plan_of
from trioworker.model.flow_run import Advanced, End, FlowRun, IdOf, StepEnd
from trioworker.model.flow_scope import Missing, Results, Scope
from trioworker.model.flow_state import (
    Body,
    Failure,
    FlowState,
    Group,
    Place,
    Ref,
    place_of,
    ref_of,
)
from trioworker.model.flow_steps import NoopStep, SleepStep
from trioworker.model.outcome import (
    RESULT_BYTES_MAX,
    Cancelled,
    Failed,
    JobError,
    Skipped,
    Succeeded,
)

_NO_REASON: Final = JobError("Unknown", "no reason was stored")


class Walk:
    """One call: a state that is changed, and what comes of it."""

    def __init__(
        self,
        run: FlowRun,
        state: FlowState,
        now: datetime,
        id_of: IdOf,
        known: Mapping[UUID, bytes | None],
    ) -> None:
        flow = run.flow
        self._run = run
        self._flow = flow
        self._state = state
        self._plan = plan_of(flow)
        self._results = Results(known)
        self._scope = Scope({"id": str(run.id), "path": run.path}, run.args, self._results)
        self._top = Frame(state.body, flow.steps)
        self._outcome: End | None = None
        self._machine = Machine(
            self._plan,
            state,
            self._scope,
            Owner(
                run.id,
                run.root,
                run.path,
                run.tag if flow.tag is None else flow.tag,
                run.priority if flow.priority is None else flow.priority,
            ),
            now=now,
            id_of=lambda fact: id_of(run.id, run.attempt, fact),
        )

    def advanced(self) -> Advanced:
        """What came of it. Raises `Missing`."""
        if self._machine.missing:
            raise Missing(frozenset(self._machine.missing))
        return Advanced(self._state, self._machine.jobs, self._outcome)

    def begin(self) -> None:
        """Begin the first step."""
        try:
            check_input(self._flow, self._run.args)
        except InvalidArguments as error:
            self._finish(Failed(JobError("InvalidArguments", str(error))))
        else:
            self._climb(self._top, self._machine.start(self._top))

    def end(self, end: StepEnd) -> None:
        """A step has ended."""
        ref = ref_of(end.job)
        if self._state.over:
            return
        frame = frame_at(self._plan, self._top, end.at)
        handles = self._state.handling == ref
        if not handles and (frame is None or frame.body.node != ref):
            return
        if end.result is not None:
            self._results.add(end.job, end.result)
        if frame is None or handles:
            self._handled(end, ref)
            return
        came = _came(frame, end, ref)
        frame.body.node = None
        halt = self._halt(frame)
        if halt is None:
            self._climb(frame, came)
        else:
            self._note_failure(frame, came, halt)
            self._empty(frame, halt)

    def _climb(self, frame: Frame, came: Came) -> None:
        """Go on from what the step of a body has come to, and with what is around it."""
        while True:
            came = self._machine.step_out(frame, came)
            if came is None:
                return
            if frame.up is None or frame.group is None:
                self._came_to(came)
                return
            came = self._machine.body_out(
                frame.up, frame.group, frame.key, came
            ) or self._machine.feed(frame.up, frame.group, frame)
            frame = frame.up

    def _halt(self, frame: Frame) -> Halt | None:
        """The outermost of what is around a step and has failed."""
        if self._state.failed is not None:
            return Halt(self._top, inside=False)
        for outer in reversed([*around(frame)]):
            if outer.body.failed is not None:
                return Halt(outer, inside=False)
            if isinstance(outer.body.node, Group) and outer.body.node.failed is not None:
                return Halt(outer, inside=True)
        return None

    def _empty(self, frame: Frame, halt: Halt) -> None:
        """A step inside of what has failed has ended; go on if it was the last one there."""
        while frame.body is not halt.frame.body:
            up, group = frame.up, frame.group
            assert up is not None
            assert group is not None
            del group.active[frame.key]
            if group.active:
                return
            if halt.inside and up.body is halt.frame.body:
                assert group.failed is not None
                self._climb(up, Broken(group.failed))
                return
            up.body.node = None
            frame = up
        if frame.up is None or frame.group is None:
            self._settle()
            return
        del frame.group.active[frame.key]
        self._climb(frame.up, self._machine.feed(frame.up, frame.group))

    def _note_failure(self, frame: Frame, came: Came, halt: Halt) -> None:
        """Of several failures of one thing the first in the order of the definition counts."""
        if not isinstance(came, Broken) or not reaches(frame, halt):
            return
        body = halt.frame.body
        if halt.inside:
            assert isinstance(body.node, Group)
            body.node.failed = self._first(body.node.failed, came.failure)
        elif halt.frame.up is not None:
            body.failed = self._first(body.failed, came.failure)
        else:
            self._state.failed = self._first(self._state.failed, came.failure)

    def _first(self, one: Failure | None, other: Failure) -> Failure:
        if one is None:
            return other
        return min(one, other, key=lambda failure: self._plan.order(_place(failure)))

    def _came_to(self, came: Over | Broken | Stop) -> None:
        """The flow's own steps have come to something."""
        match came:
            case Over(ref):
                self._succeed(ref)
            case Broken(failure):
                self._state.failed = failure
                self._settle()
            case Stop(ref, step, stop):
                match stop.status:
                    case "success":
                        self._succeed(ref)
                    case "skipped":
                        self._finish(Skipped(stop.message or f"step {step} ended the flow"))
                    case "failure":
                        message = stop.message or f"step {step} ended the flow"
                        self._state.failed = Failure(step, step, "Stopped", message)
                        self._settle()

    def _settle(self) -> None:
        """The flow begins no more steps; it ends, or its failure step begins, if none runs."""
        if self._top.body.node is not None:
            return
        failure = self._state.failed
        assert failure is not None
        if failure.canceled:
            self._finish(Cancelled(_told(failure)))
        elif self._flow.failure is None:
            self._fail(failure)
        else:
            self._scope.error = error_of(failure)
            frame = Frame(Body(done=self._state.body.done), [self._flow.failure])
            came = self._machine.start(frame)
            if isinstance(came, Broken):
                self._fail(failure, came.failure)
            elif isinstance(frame.body.node, str):
                self._state.handling = frame.body.node

    def _handled(self, end: StepEnd, ref: str) -> None:
        """The failure step has ended."""
        failure = self._state.failed
        assert failure is not None
        result = self._raw(ref) if end.status == "success" else b"null"
        if result is None:
            return
        if end.status not in {"success", "skipped"}:
            error = end.error or _NO_REASON
            self._fail(failure, Failure(end.at, end.at, error.name, error.message))
        elif _recovers(result):
            self._finish(Succeeded(result))
        else:
            self._fail(failure)

    def _fail(self, failure: Failure, too: Failure | None = None) -> None:
        message = _told(failure)
        if too is not None:
            message += f"; the failure step failed, too: {too.name}: {too.message}"
        self._finish(Failed(JobError(failure.name, message)))

    def _succeed(self, ref: Ref) -> None:
        if self._flow.returns is not None:
            ref = self._state.body.done.get(self._flow.returns)
        result = self._raw(ref)
        if result is None:
            return
        if len(result) > RESULT_BYTES_MAX:
            message = f"the result has {len(result):,} bytes; at most {RESULT_BYTES_MAX:,}"
            self._finish(Failed(JobError("ResultTooLarge", message)))
        else:
            self._finish(Succeeded(result))

    def _raw(self, ref: Ref) -> bytes | None:
        """A result as JSON; None when it has to be read first."""
        try:
            return self._results.raw(ref)
        except Missing as missing:
            self._machine.missing |= missing.jobs
            return None

    def _finish(self, outcome: End) -> None:
        self._state.over = True
        self._outcome = outcome


def _came(frame: Frame, end: StepEnd, ref: str) -> Came:
    """What a step comes to whose job has ended so."""
    match end.status:
        case "success":
            returns = not isinstance(frame.step, NoopStep | SleepStep)
            return Over(ref if returns else None)
        case "skipped":
            return Over(None, ran=False)
        case status:
            error = end.error or _NO_REASON
            canceled = status == "canceled"
            return Broken(failure_at(frame, error.name, error.message, canceled=canceled))


def _place(failure: Failure) -> Place:
    place = place_of(failure.at)
    assert place is not None
    return place


def _told(failure: Failure) -> str:
    return f"step {failure.at}: {failure.message}"


def _recovers(result: bytes) -> bool:
    """Whether what the failure step returned makes a success of the flow."""
    try:
        said = msgspec.json.decode(result)
    except (msgspec.DecodeError, RecursionError):
        return False
    return isinstance(said, dict) and said.get("recover") is True
