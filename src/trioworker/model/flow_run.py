"""What is told about a run of a flow, and what comes of it: the words between it and the store."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias
from uuid import UUID

from trioworker.model.flow import Flow
from trioworker.model.flow_state import FlowState
from trioworker.model.job import NewJob
from trioworker.model.outcome import Cancelled, Failed, JobError, Skipped, Succeeded

IdOf: TypeAlias = Callable[[UUID, int, str], UUID]
"""Makes the id of a step's job: of the flow's id and attempt, and the place of the step."""
End: TypeAlias = Succeeded | Failed | Cancelled | Skipped


class StepEnd(NamedTuple):
    """A step's job has ended: `at` its place, with a `status` as it is stored of a job.

    `result` is JSON, of a success, `error` of all that ended without success.
    """

    at: str
    job: UUID
    status: str
    result: bytes | None
    error: JobError | None


class FlowRun(NamedTuple):
    """A run of a flow: the job that it is, its definition, and its state, None when it begins.

    `path`, `args`, `tag` and `priority` are the job's own; `root` is the outermost flow's job.
    """

    id: UUID
    attempt: int
    root: UUID
    path: str
    args: bytes
    tag: str
    priority: int
    flow: Flow
    state: FlowState | None


class Advanced(NamedTuple):
    """The flow's next state, the jobs to be made, and how it ended, None while it goes on."""

    state: FlowState
    jobs: Sequence[NewJob]
    outcome: End | None
