"""What flows, their runs and their approvals look like to somebody who asks.

Rule of this file: answers only, as in `state.py`; what is stored of an approval and cannot be read
any more is shown as one that asks for nothing.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from trioworker.model.flow_approval import FormField
from trioworker.model.outcome import JobError
from trioworker.model.state import JobState, State, WaitsFor


class Pushed(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a push: a `new` version, or the newest one, which is equal."""

    path: str
    version: int
    new: bool


class FlowListed(msgspec.Struct, frozen=True, kw_only=True):
    """A flow: its newest version, how many `versions` there are, and its `runs` under way."""

    path: str
    version: int
    versions: int
    created_at: datetime
    created_by: str
    runs: int


class FlowVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a flow; `definition` is decoded JSON."""

    path: str
    version: int
    definition: Any
    created_at: datetime
    created_by: str


class DecisionShown(msgspec.Struct, frozen=True, kw_only=True):
    """What one person has said of an approval."""

    by: str
    approved: bool
    form: Mapping[str, Any]
    decided_at: datetime


class ApprovalState(msgspec.Struct, frozen=True, kw_only=True):
    """An approval that waits, and what it waits for.

    `id` is its job, `flow` that of the flow which it holds up, called `path`, and `at` its place in
    it. The others are as the step says them; `until` is when its time has run out.
    """

    id: UUID
    flow: UUID | None
    root: UUID | None
    path: str
    at: str
    message: str
    approvers: Sequence[str]
    needed: int
    form: Mapping[str, FormField]
    since: datetime
    until: datetime | None
    decisions: Sequence[DecisionShown]


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """A decision that was taken: about which approval, at which place, and whether that is `over`.

    One that is not over waits for approvals by others.
    """

    id: UUID
    at: str
    over: bool


class StepState(msgspec.Struct, frozen=True, kw_only=True):
    """A step that has begun: its place `at` in the flow, its job `id`, and where that stands."""

    at: str
    id: UUID
    kind: str
    path: str
    state: State
    waits_for: WaitsFor | None
    attempt: int | None
    started_at: datetime | None
    duration_ms: int | None
    error: JobError | None


class FlowRunState(msgspec.Struct, frozen=True, kw_only=True):
    """A run of a flow: the state of its job, and of its steps in the order in which they came.

    `version` is the one it keeps to; None before it has begun and after it has ended. Of a step
    that was begun anew the last one is shown, and `more` says that there were older ones, too many
    to be shown. `approvals` are those that wait for people, of nested flows as well. `early_result`
    is decoded JSON: what the flow `returns`, while it goes on after that step.
    """

    job: JobState
    version: int | None
    steps: Sequence[StepState]
    more: bool
    approvals: Sequence[ApprovalState]
    early_result: Any = None


def step_state(at: str, job: JobState) -> StepState:
    """The job as the step that it is."""
    return StepState(
        at=at, id=job.id, kind=job.kind, path=job.path, state=job.state, waits_for=job.waits_for,
        attempt=job.attempt, started_at=job.started_at, duration_ms=job.duration_ms,
        error=job.error,
    )  # fmt: skip
