"""The job that a step of a flow is: its settings, and the job itself once its arguments are known.

Rule of this file: a step is an ordinary job. What its definition says becomes the same settings
and options that a client's enqueue would give it, by the same code.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec

from trioworker.model.bounds import PATH_BYTES_MAX
from trioworker.model.flow_approval import Approval
from trioworker.model.flow_expression import Expr
from trioworker.model.flow_steps import (
    ApprovalStep,
    CallStep,
    FlowStep,
    FunctionStep,
    JobStep,
    NoopStep,
    ScriptStep,
    SleepStep,
)
from trioworker.model.job import Kind, NewJob
from trioworker.model.job_settings import JobSettings, resolve
from trioworker.model.options import Handler, JobOptions, Limit, StepOf

KINDS_OF_STEPS: Final[Mapping[type[JobStep], Kind]] = {
    FunctionStep: "function",
    ScriptStep: "script",
    FlowStep: "flow",
    NoopStep: "noop",
    SleepStep: "noop",
    ApprovalStep: "approval",
}
NO_ARGS: Final = b"{}"


class Owner(NamedTuple):
    """The flow that steps are made for: its own job, the outermost one's, and what it says."""

    id: UUID
    root: UUID
    path: str
    tag: str
    priority: int


class Ready(NamedTuple):
    """What was found out about a step right before it becomes a job."""

    args: bytes = NO_ARGS
    due: datetime | None = None
    approval: Approval | None = None


def settings_of(step: JobStep) -> JobSettings:
    """What the step says about its job; what it does not say is left out."""
    settings = JobSettings(labels=step.labels, delete_after_s=step.delete_after_s)
    if isinstance(step, CallStep):
        settings["cache_ttl_s"] = step.cache_ttl_s
        settings["limit"] = step.limit
        if step.retry is not None:
            settings["retry"] = step.retry
        if step.timeout_s is not None:
            settings["timeout_s"] = step.timeout_s
    return settings


def approval_of(step: ApprovalStep, approvers: object, message: object) -> Approval:
    """What the step asks for. Raises `UsageError` when it cannot be asked."""
    return Approval(
        tuple(approvers) if isinstance(approvers, list) else approvers,  # type: ignore[arg-type]  # as below
        needed=step.needed,
        timeout_s=step.timeout_s,
        go_on=step.go_on,
        form=step.form,
        message=message,  # type: ignore[arg-type]  # the approval says so if it is no text
    )


def said(value: Any) -> Expr | None:  # noqa: ANN401 - JSON
    """The expression that stands in the place of a constant, if one does."""
    if isinstance(value, dict) and value.keys() == {"expr"} and isinstance(value["expr"], str):
        return Expr(value["expr"])
    return value if isinstance(value, Expr) else None


class Maker:
    """Makes the jobs of one flow; what all jobs of a step have in common is made once."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._options: dict[str, JobOptions] = {}

    def job(self, step: JobStep, at: str, job: UUID, ready: Ready) -> NewJob:
        """The job of a step at this place. Raises `UsageError` when there can be none."""
        path = self._path(step)
        options = msgspec.structs.replace(
            self._common(step, path, ready.args),
            step=StepOf(self._owner.id, self._owner.root, at),
            approval=ready.approval,
        )
        return NewJob(
            id=job,
            kind=KINDS_OF_STEPS[type(step)],
            path=path,
            args=ready.args,
            tag=self._owner.tag if step.tag is None else step.tag,
            priority=self._owner.priority if step.priority is None else step.priority,
            scheduled_for=ready.due,
            options=options,
            parent=self._owner.id,
        )

    def _path(self, step: JobStep) -> str:
        if isinstance(step, CallStep | FlowStep):
            return step.path
        path = f"{self._owner.path}/{step.id}"
        return path if len(path.encode()) <= PATH_BYTES_MAX else step.id

    def _common(self, step: JobStep, path: str, args: bytes) -> JobOptions:
        if step.id in self._options:
            return self._options[step.id]
        settings = settings_of(step)
        options = resolve(settings, path=path, args=args, handler=Handler, now=None).options
        if isinstance(step, ScriptStep):
            options = msgspec.structs.replace(
                options, dedicated=step.dedicated, language=step.language
            )
        if not _names_arguments(settings.get("limit")):
            self._options[step.id] = options
        return options


def _names_arguments(limit: Limit | int | None) -> bool:
    return isinstance(limit, Limit) and "{" in limit.key
