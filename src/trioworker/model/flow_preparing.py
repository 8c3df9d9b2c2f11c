"""What is found out about a step right before it begins: its arguments, its items, its branch.

Rule of this file: nothing of the run is changed here but the count of bytes that it keeps.
"""

from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from trioworker.errors import UsageError
from trioworker.model.flow_check import VALUE_BYTES_MAX, check_items
from trioworker.model.flow_expression import Expr, encoded, read
from trioworker.model.flow_frames import Frame
from trioworker.model.flow_jobs import NO_ARGS, Ready, approval_of, said
from trioworker.model.flow_scope import Scope
from trioworker.model.flow_state import Body, FlowState, Group, Ref
from trioworker.model.flow_steps import (
    AnyStep,
    ApprovalStep,
    BranchAllStep,
    BranchOneStep,
    CallStep,
    FlowStep,
    ForEachStep,
    JobStep,
    SleepStep,
    bodies,
)
from trioworker.model.options import DELAY_S_MAX, within

ITEMS_BYTES_MAX: Final = 16 * 1024
"""Of the items that are kept in the state; where there are more they are looked up each time."""
KEPT_BYTES_MAX: Final = 16 * 1024 * 1024
"""Of all values that one run has ever kept in its state."""


class Preparing:
    """Prepares the steps of one run. All methods raise what expressions do, and `UsageError`."""

    def __init__(self, state: FlowState, scope: Scope, now: datetime) -> None:
        self._state = state
        self._scope = scope
        self._now = now

    def open(self, frame: Frame, step: AnyStep) -> Group | None:
        """The group of a step, with nothing begun but for a branch that was chosen."""
        match step:
            case ForEachStep():
                items = self._scope.items(frame, step, None)
                check_items(len(items))
                group = Group(len(items))
                if len(data := encoded(items)) <= ITEMS_BYTES_MAX:
                    group.items = msgspec.json.decode(data)
                self._scope.remember(group, items)
                return group
            case BranchOneStep(branches=branches):
                holds = (self._scope.holds(frame, case.condition) for case in branches)
                chosen = next((n for n, held in enumerate(holds) if held), len(branches))
                if not dict(bodies(step))[chosen]:
                    return None
                return Group(1, {chosen: Body()}, [None])
            case BranchAllStep(branches=branches):
                return Group(len(branches))
            case _:
                return Group(-1)

    def ready(self, frame: Frame, step: JobStep) -> Ready:
        """What the job of a step is made with."""
        match step:
            case CallStep(args=args) | FlowStep(args=args):
                return Ready(self._args(frame, args))
            case SleepStep(seconds=seconds):
                if isinstance(seconds, Expr):
                    seconds = self.value(frame, seconds)
                within("a sleep", seconds, 0.0, DELAY_S_MAX)
                return Ready(due=self._now + timedelta(seconds=seconds) if seconds else None)
            case ApprovalStep(approvers=approvers, message=message):
                asked = self.value(frame, approvers), self.value(frame, message)
                return Ready(approval=approval_of(step, *asked))
            case _:
                return Ready()

    def _args(self, frame: Frame, args: dict[str, Any] | list[Any]) -> bytes:
        if not args:
            return NO_ARGS
        if isinstance(args, dict):
            return encoded({name: self.value(frame, value) for name, value in args.items()})
        return encoded([self.value(frame, value) for value in args])

    def value(self, frame: Frame, value: Any) -> Any:  # noqa: ANN401 - JSON
        """A constant, or the value of the expression in its place."""
        expression = said(value)
        return value if expression is None else self._scope.value(frame, read(expression.expr))

    def kept_within(self, value: object) -> Ref:
        """A result that no job has. Raises `UsageError` when it is too large."""
        if (size := len(encoded(value))) > VALUE_BYTES_MAX:
            raise UsageError(
                f"a value of {size:,} bytes is too large, at most {VALUE_BYTES_MAX:,};"
                " let a function return it"
            )
        if self._state.kept + size > KEPT_BYTES_MAX:
            raise UsageError(
                f"the values of this flow come to more than {KEPT_BYTES_MAX:,} bytes;"
                " let functions return them"
            )
        return self.kept(value)

    def kept(self, value: object) -> Ref:
        """A result that no job has, which is small."""
        data = encoded(value)
        self._state.kept += len(data)
        return None if data == b"null" else {"v": msgspec.json.decode(data)}
