"""Flows written in Python: a function for each construct, and `flow` that makes one of them all.

    from trioworker.flows import approval, expr, flow, for_each, step

    fulfil = flow(
        "orders/fulfil",
        [
            step("charge", charge, args={"order": expr("input.order")}),
            for_each("pack", expr("input.order.items"), [step("box", box, [expr("iter.value")])]),
            approval("sign", approvers=["ann"], skip_if="results.charge < `100`"),
        ],
    )

Rule of this file: it writes the same definition that JSON does, and `flow` checks it whole. What is
written wrongly is a `UsageError` where it is written.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Unpack

import msgspec

from trioworker.app import JobFunction
from trioworker.errors import UsageError
from trioworker.model.bounds import PATH_BYTES_MAX, bounded_text
from trioworker.model.flow import (
    FailureStep,
    Flow,
    Input,
    InputType,
    OnWorkerLost,
    definition,
    flow_of,
)
from trioworker.model.flow_approval import APPROVAL_TIMEOUT_S, FieldType, FormField
from trioworker.model.flow_expression import Expr, read
from trioworker.model.flow_settings import (
    Args,
    CallSettings,
    Condition,
    JobStepSettings,
    StepSettings,
    args_of,
    list_of,
    said_of,
    stop_after,
    text_of,
    value_of,
)
from trioworker.model.flow_steps import (
    ITERATIONS,
    AnyStep,
    ApprovalStep,
    Branch,
    BranchAllStep,
    BranchOneStep,
    Case,
    FlowStep,
    ForEachStep,
    FunctionStep,
    NoopStep,
    ScriptStep,
    SleepStep,
    StopAfter,
    ValueStep,
    WhileStep,
)

__all__ = [
    "Expr",
    "FormField",
    "Input",
    "NamedFlow",
    "StopAfter",
    "approval",
    "branch",
    "branch_all",
    "branch_one",
    "case",
    "expr",
    "flow",
    "for_each",
    "noop",
    "script",
    "sleep",
    "step",
    "stop_after",
    "subflow",
    "value",
    "while_",
]

_OF_FUNCTIONS = ("tag", "priority", "labels", "delete_after_s", "limit", "cache_ttl_s")
"""What a step takes over from its function; retry and timeout are asked for when it is run."""


class NamedFlow(Flow, frozen=True, kw_only=True, dict=True):
    """A flow and the `path` that it is pushed under."""

    @property
    def path(self) -> str:
        """The name by which it is run."""
        named: str = vars(self)["path"]
        return named


def expr(text: str) -> Expr:
    """The value of an expression, where a constant may stand. Raises `UsageError` if it is none."""
    return Expr(read(text).text)


def step(
    name: str,
    job: JobFunction[..., Any] | str,
    args: Args | None = None,
    **settings: Unpack[CallSettings],
) -> FunctionStep:
    """A step that calls a function of the app: itself, or its name.

    `args` are by name or by position, each a constant or an `expr`. What the function says about
    its jobs is taken over, unless it is said here. Raises `UsageError`, and `InvalidArguments` when
    constants do not fit the function.
    """
    said = said_of(settings)
    args = args_of(name, args)
    if not isinstance(job, JobFunction):
        return FunctionStep(id=name, path=job, args=args, **said)
    values = args.values() if isinstance(args, dict) else args
    if not any(isinstance(value, Expr) for value in values):
        job.signature.check(msgspec.json.encode(args))
    own = {one: job.settings.get(one) for one in _OF_FUNCTIONS}
    taken = {one: value for one, value in own.items() if value is not None}
    return FunctionStep(id=name, path=job.name, args=args, **{**taken, **said})


def script(
    name: str,
    path: str,
    args: Args | None = None,
    *,
    language: str | None = None,
    dedicated: bool = False,
    **settings: Unpack[CallSettings],
) -> ScriptStep:
    """A step that runs a script; `language` and `dedicated` as for any job of that kind."""
    said = said_of(settings)
    args = args_of(name, args)
    return ScriptStep(id=name, path=path, args=args, language=language, dedicated=dedicated, **said)


def subflow(
    name: str,
    flow: NamedFlow | str,
    args: Mapping[str, Any] | None = None,
    **settings: Unpack[JobStepSettings],
) -> FlowStep:
    """A step that runs another flow; `args` are its input."""
    path = flow if isinstance(flow, str) else flow.path
    return FlowStep(id=name, path=path, args=dict(args_of(name, args)), **said_of(settings))


def noop(name: str, **settings: Unpack[JobStepSettings]) -> NoopStep:
    """A step in which a worker does nothing."""
    return NoopStep(id=name, **said_of(settings))


def sleep(
    name: str,
    seconds: float | Expr,
    **settings: Unpack[JobStepSettings],
) -> SleepStep:
    """A step that lasts so many seconds and holds no worker."""
    return SleepStep(id=name, seconds=seconds, **said_of(settings))


def approval(
    name: str,
    *,
    approvers: Sequence[str] | Expr = (),
    needed: int = 1,
    timeout_s: float | None = APPROVAL_TIMEOUT_S,
    go_on: bool = False,
    form: Mapping[str, FormField | FieldType] | None = None,
    message: str | Expr = "",
    **settings: Unpack[JobStepSettings],
) -> ApprovalStep:
    """A step that ends when people have decided; anyone may where no `approvers` are named.

    It takes `needed` approvals. One disapproval, or `timeout_s` seconds (None for never), is a
    failure, unless the flow shall `go_on`. In `form`, a type stands for a field that may be left
    out.
    """
    fields = {
        called: field if isinstance(field, FormField) else FormField(field)
        for called, field in (form or {}).items()
    }
    return ApprovalStep(
        id=name,
        approvers=approvers if isinstance(approvers, Expr) else list_of(approvers),
        needed=needed,
        timeout_s=timeout_s,
        go_on=go_on,
        form=fields,
        message=message,
        **said_of(settings),
    )


def value(
    name: str,
    value: Any,  # noqa: ANN401 - JSON
    **settings: Unpack[StepSettings],
) -> ValueStep:
    """A step whose result is a constant or the value of an `expr`; nothing is run for it."""
    return ValueStep(id=name, value=value_of(name, value), **said_of(settings))


def for_each(
    name: str,
    items: Expr | Sequence[Any],
    steps: Sequence[AnyStep],
    *,
    parallel: bool | int = False,
    skip_failure: bool = False,
    **settings: Unpack[StepSettings],
) -> ForEachStep:
    """A loop over items: one by one, or `parallel` so many at a time, all of them with True.

    The result is the list of what the last step of each iteration returned, with `skip_failure`
    null for one that failed.
    """
    return ForEachStep(
        id=name,
        items=items if isinstance(items, Expr) else list_of(items),
        steps=tuple(steps),
        parallel=parallel,
        skip_failure=skip_failure,
        **said_of(settings),
    )


def while_(
    name: str,
    condition: Condition,
    steps: Sequence[AnyStep],
    *,
    max: int = ITERATIONS,  # noqa: A002 - the word of the definition
    **settings: Unpack[StepSettings],
) -> WhileStep:
    """A loop as long as the condition holds, asked before each of at most `max` iterations.

    The result is the list of what the last step of each iteration returned.
    """
    return WhileStep(
        id=name, condition=text_of(condition), steps=tuple(steps), max=max, **said_of(settings)
    )


def case(condition: Condition, steps: Sequence[AnyStep], *, name: str = "") -> Case:
    """A branch of `branch_one`."""
    return Case(condition=text_of(condition), steps=tuple(steps), name=name)


def branch_one(
    name: str,
    branches: Sequence[Case],
    *,
    default: Sequence[AnyStep] = (),
    **settings: Unpack[StepSettings],
) -> BranchOneStep:
    """A step that runs the first branch whose condition holds, or else the steps of `default`."""
    return BranchOneStep(
        id=name, branches=tuple(branches), default=tuple(default), **said_of(settings)
    )


def branch(steps: Sequence[AnyStep], *, name: str = "", skip_failure: bool = False) -> Branch:
    """A branch of `branch_all`; with `skip_failure` it has the result null when it failed."""
    return Branch(steps=tuple(steps), name=name, skip_failure=skip_failure)


def branch_all(
    name: str,
    branches: Iterable[Branch | Sequence[AnyStep]],
    **settings: Unpack[StepSettings],
) -> BranchAllStep:
    """A step that runs all branches at the same time; the result is the list of theirs."""
    all_ = tuple(each if isinstance(each, Branch) else branch(each) for each in branches)
    return BranchAllStep(id=name, branches=all_, **said_of(settings))


def flow(
    path: str,
    steps: Sequence[AnyStep],
    *,
    description: str = "",
    inputs: Mapping[str, Input | InputType] | None = None,
    failure: FailureStep | None = None,
    returns: str | None = None,
    same_worker: bool = False,
    on_worker_lost: OnWorkerLost = "fail",
    tag: str | None = None,
    priority: int | None = None,
) -> NamedFlow:
    """The flow that is pushed and run under the name `path`; see `Flow` for the meaning.

    Raises `UsageError` for all that could never be run as it says, with its place in the flow.
    """
    bounded_text("path", path, PATH_BYTES_MAX)
    written = NamedFlow(
        steps=tuple(steps),
        description=description,
        inputs={
            name: said if isinstance(said, Input) else Input(kind=said)
            for name, said in (inputs or {}).items()
        },
        failure=failure,
        returns=returns,
        same_worker=same_worker,
        on_worker_lost=on_worker_lost,
        tag=tag,
        priority=priority,
    )
    try:
        # As it will be read, so that what is of a type that it may not have is told here.
        read_again = flow_of(definition(written))
    except (TypeError, ValueError, OverflowError) as error:
        raise UsageError(f"the flow {path!r} cannot be written as JSON: {error}") from None
    fields = {name: getattr(read_again, name) for name in Flow.__struct_fields__}
    named = NamedFlow(**fields)
    vars(named)["path"] = path
    return named
