"""What a flow is made of: one struct for each sort of step, as they stand in its definition.

Rule of this file: shapes only. What the parts must keep to, and what they may say of one another,
is checked in `flow_check.py`, which knows the whole flow and so can say where in it a mistake is.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias, get_args

import msgspec

from trioworker.model.flow_approval import APPROVAL_TIMEOUT_S, FormField
from trioworker.model.flow_expression import Expr
from trioworker.model.options import Limit, RetryPolicy

ITERATIONS: Final = 1_000
"""How often a while-loop goes round at most, unless it says otherwise."""

StopStatus = Literal["success", "skipped", "failure"]
STOP_STATUSES: Final[tuple[str, ...]] = get_args(StopStatus)


class Part(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """Base of all parts of a flow."""


class StopAfter(Part, frozen=True, kw_only=True):
    """Ends the innermost serial loop around the step, or else the flow, when `condition` holds.

    `condition` (in JSON `if`) is asked when the step has succeeded; `result` in it is the step's.
    A flow that ends so succeeds with that result, or is skipped or fails, with the `message`.
    """

    condition: str = msgspec.field(name="if")
    status: StopStatus = "success"
    message: str = ""


class Step(Part, frozen=True, kw_only=True, tag_field="type"):
    """What every step may say.

    `id` is its name, and that of its result, in the whole flow. With `skip_if` it is not run when
    that holds, and its result is null. With `continue_on_error` the flow goes on when it has
    failed, and its result is `{"error": {"step", "at", "name", "message"}}`.
    """

    id: str
    description: str = ""
    skip_if: str | None = None
    stop_after_if: StopAfter | None = None
    continue_on_error: bool = False


class JobStep(Step, frozen=True, kw_only=True):
    """A step that is a job of its own. What is left out of `tag` and `priority` is the flow's."""

    tag: str | None = None
    priority: int | None = None
    labels: tuple[str, ...] = ()
    delete_after_s: float | None = None


class CallStep(JobStep, frozen=True, kw_only=True):
    """A step that something is called for, with arguments.

    `args` are by name or by position; each is a constant, or an `Expr` where it is
    `{"expr": "…"}`. `timeout_s` is in seconds and of one attempt, `retry` a policy or a number of
    attempts, `limit` may be a number of slots, as in `JobSettings`.
    """

    path: str
    args: dict[str, Any] | list[Any] = {}
    retry: RetryPolicy | int | None = None
    timeout_s: float | None = None
    limit: Limit | int | None = None
    cache_ttl_s: float | None = None


class FunctionStep(CallStep, frozen=True, kw_only=True, tag="function"):
    """A function of the app is called."""


class ScriptStep(CallStep, frozen=True, kw_only=True, tag="script"):
    """A script is run; `language` and `dedicated` as for any job of that kind."""

    language: str | None = None
    dedicated: bool = False


class FlowStep(JobStep, frozen=True, kw_only=True, tag="flow"):
    """Another flow is run, and what it returns is the result; `args` by name are its input."""

    path: str
    args: dict[str, Any] = {}


class NoopStep(JobStep, frozen=True, kw_only=True, tag="noop"):
    """Nothing is done, by a worker; the result is null."""


class SleepStep(JobStep, frozen=True, kw_only=True, tag="sleep"):
    """Nothing is done for so many seconds, and no worker is held; the result is null."""

    seconds: float | Expr


class ApprovalStep(JobStep, frozen=True, kw_only=True, tag="approval"):
    """People decide whether the flow goes on, as `Approval` says; its `go_on` is that of the flow.

    The result is an `ApprovalResult`: `{"approved", "by", "form", "reason"}`.
    """

    approvers: list[str] | Expr = []
    needed: int = 1
    timeout_s: float | None = APPROVAL_TIMEOUT_S
    go_on: bool = False
    form: Mapping[str, FormField] = {}
    message: str | Expr = ""


class ValueStep(Step, frozen=True, kw_only=True, tag="value"):
    """The result is a constant, or the value of an `Expr`; nothing is run for it."""

    value: Any


class ForEachStep(Step, frozen=True, kw_only=True, tag="for_each"):
    """The steps of the body are run for each item of a list.

    In them `iter` is `{"value", "index", "outer"}`. `parallel` true runs all at the same time, a
    number so many, false one after the other. The result is the list of what the last step of each
    iteration returned, in the order of the items. An iteration that failed fails the loop, or with
    `skip_failure` has null there.
    """

    items: Expr | list[Any]
    steps: Sequence["AnyStep"]
    parallel: bool | int = False
    skip_failure: bool = False


class WhileStep(Step, frozen=True, kw_only=True, tag="while"):
    """The steps of the body are run again and again as long as `condition` (in JSON `while`) holds.

    It is asked before each iteration; `previous` is the result of the one before. The result is the
    list of those of all iterations. A condition that still holds after `max` of them is a failure.
    """

    condition: str = msgspec.field(name="while")
    steps: Sequence["AnyStep"]
    max: int = ITERATIONS


class Case(Part, frozen=True, kw_only=True):
    """A branch that is taken when `condition` (in JSON `if`) holds, and none before it does."""

    condition: str = msgspec.field(name="if")
    steps: Sequence["AnyStep"]
    name: str = ""


class BranchOneStep(Step, frozen=True, kw_only=True, tag="branch_one"):
    """The first branch whose condition holds is run, or else the steps of `default`.

    The result is that of its last step; null when there is nothing to run.
    """

    branches: Sequence[Case]
    default: Sequence["AnyStep"] = ()


class Branch(Part, frozen=True, kw_only=True):
    """A branch of several that are run at the same time; one that fails may be skipped."""

    steps: Sequence["AnyStep"]
    name: str = ""
    skip_failure: bool = False


class BranchAllStep(Step, frozen=True, kw_only=True, tag="branch_all"):
    """All branches are run at the same time.

    The result is the list of what their last steps returned, in order. A branch that failed fails
    the step, or with its `skip_failure` has null there.
    """

    branches: Sequence[Branch]


AnyStep: TypeAlias = (
    FunctionStep
    | ScriptStep
    | FlowStep
    | NoopStep
    | SleepStep
    | ApprovalStep
    | ValueStep
    | ForEachStep
    | WhileStep
    | BranchOneStep
    | BranchAllStep
)
GroupStep: TypeAlias = ForEachStep | WhileStep | BranchOneStep | BranchAllStep
"""The sorts that have steps inside, in one body or several."""
GROUPS: Final = get_args(GroupStep)
SORTS: Final[Mapping[str, type]] = {
    str(sort.__struct_config__.tag): sort for sort in get_args(AnyStep)
}


def bodies(step: AnyStep) -> Sequence[tuple[int, Sequence[AnyStep]]]:
    """The lists of steps inside a step, each with the number of its branch; of a loop it is 0."""
    match step:
        case ForEachStep() | WhileStep():
            return [(0, step.steps)]
        case BranchOneStep():
            lists = [*(case.steps for case in step.branches), step.default]
        case BranchAllStep():
            lists = [branch.steps for branch in step.branches]
        case _:
            return ()
    return [*enumerate(lists)]


def is_loop(step: AnyStep) -> bool:
    """Whether its body is run more than once."""
    return isinstance(step, ForEachStep | WhileStep)


def is_parallel(step: AnyStep) -> bool:
    """Whether several of its bodies may run at the same time."""
    if isinstance(step, ForEachStep):
        return step.parallel is True or step.parallel > 1
    return isinstance(step, BranchAllStep)
