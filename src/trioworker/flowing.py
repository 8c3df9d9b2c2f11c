"""What everybody may do with flows: push them, look at them and their runs, decide about approvals.

Rule of this file: like the client that it is a part of, it turns what a user says into what is
stored, and says what is wrong in words a user can act on. How a flow goes on it does not know.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from trioworker.errors import NothingToDecide, UnknownFlow, UnknownJob, UsageError
from trioworker.looking import Looking, bounded_limit, refusing
from trioworker.model.bounds import PATH_BYTES_MAX, bounded_text
from trioworker.model.flow import Flow, definition, flow_of
from trioworker.model.flow_decision import Decision
from trioworker.model.flow_shown import (
    ApprovalState,
    Decided,
    FlowListed,
    FlowRunState,
    FlowVersion,
    Pushed,
    StepState,
    step_state,
)
from trioworker.model.job_settings import JobSettings
from trioworker.store.postgres.flow_admin import PostgresFlows
from trioworker.store.postgres.jobs import PostgresJobs
from trioworker.store.postgres.waits import Waits

VERSIONS_MAX: Final = 2**31 - 1


class RunSettings(JobSettings, total=False):
    """What may be said of a run of a flow, each as in `Client.enqueue`."""

    scheduled_for: datetime | None
    delay_s: float | None
    awaited: bool
    id: UUID | None
    parent: UUID | None


class Flowing(Looking):
    """The part of a client that is about flows."""

    def __init__(self, jobs: PostgresJobs, waits: Waits, flows: PostgresFlows | None) -> None:
        super().__init__(jobs, waits)
        self._stored_flows = flows

    async def push_flow(
        self,
        path: str | Flow,
        flow: Flow | Mapping[str, Any] | str | bytes | None = None,
        *,
        by: str = "",
    ) -> Pushed:
        """Store a flow under the name `path`, for runs that begin from now on.

        It is a `Flow`, or what defines one: JSON as text or decoded. A flow that was written in
        Python knows its path and may stand alone. One that is equal to the newest version makes no
        new one. Runs under way keep to theirs. Raises `UsageError` that says where in the
        definition a mistake is.
        """
        path, flow = named(path, flow)
        bounded_text("path", path, PATH_BYTES_MAX)
        encoded = definition(read_flow(flow))
        with refusing(f"the flow {path!r}"):
            return await self._flows.push(path, encoded, by=by)

    async def flows(self, limit: int = 1_000) -> Sequence[FlowListed]:
        """Up to `limit` flows, by path."""
        return await self._flows.newest(bounded_limit(limit))

    async def flow(self, path: str, version: int | None = None) -> FlowVersion:
        """A flow as it was pushed, its newest version unless said otherwise.

        Raises `UnknownFlow`.
        """
        storable = path.isprintable() and version in (None, _bounded(version))
        found = await self._flows.read(path, version) if storable else None
        if found is None:
            raise _unknown(path, version)
        return found

    async def flow_run(self, id: UUID, *, limit: int = 1_000) -> FlowRunState:  # noqa: A002 - the word for it everywhere
        """How far a run of a flow is: its job, its newest `limit` steps, and what waits for people.

        Raises `UnknownJob`, for a job that is no flow as well.
        """
        job = await self.job(id)
        if job.kind != "flow":
            raise UnknownJob(f"job {id} is of the kind {job.kind}, and no run of a flow")
        steps = await self.flow_steps(id, limit=bounded_limit(limit) + 1)
        early = None if job.ended else await self._flows.early_result(id)
        return FlowRunState(
            job=job,
            version=await self._flows.version_of(id),
            steps=steps[-limit:],
            more=len(steps) > limit,
            approvals=() if job.ended else await self._flows.approvals_of(id),
            early_result=None if early is None else msgspec.json.decode(early),
        )

    async def flow_steps(self, id: UUID, *, limit: int = 1_000) -> Sequence[StepState]:  # noqa: A002 - as above
        """The newest `limit` steps of a run, in the order in which they came.

        Of a step that was begun anew only the last one is among them.
        """
        found = await self._flows.steps(id, limit)
        states = {state.id: state for state in await self._jobs.states([id_ for id_, _ in found])}
        last = {at: states[id_] for id_, at in found if id_ in states}
        return [step_state(at, state) for at, state in last.items()]

    async def approvals(self, limit: int = 1_000) -> Sequence[ApprovalState]:
        """Up to `limit` approvals that wait for people, those first whose time is over first."""
        return await self._flows.approvals(bounded_limit(limit))

    async def approve(
        self,
        id: UUID,  # noqa: A002 - the word for it everywhere
        *,
        by: str,
        form: Mapping[str, Any] | None = None,
        step: str | None = None,
    ) -> Decided:
        """Let a flow go on that waits for approval; `by` is who says so, `form` what they fill in.

        `id` is of the approval's own job, or of the flow that waits, if only one step of it does or
        `step` says which: its name, or its place. Raises `UnknownJob`, `NothingToDecide` when none
        waits or this one has decided, `MayNotDecide` for somebody who is none of the approvers.
        """
        return await self._decide(id, step, Decision(by, True, form or {}))  # noqa: FBT003 - a field

    async def disapprove(
        self,
        id: UUID,  # noqa: A002 - as above
        *,
        by: str,
        form: Mapping[str, Any] | None = None,
        step: str | None = None,
    ) -> Decided:
        """Say no, which ends the approval at once; otherwise as `approve`."""
        return await self._decide(id, step, Decision(by, False, form or {}))  # noqa: FBT003 - a field

    @property
    def _flows(self) -> PostgresFlows:
        if self._stored_flows is None:
            raise UsageError("a queue in memory has no flows")
        return self._stored_flows

    async def _decide(self, job: UUID, step: str | None, decision: Decision) -> Decided:
        _check_form(decision.form)
        approval = _the_one(job, step, await self._flows.approvals_of(job))
        if approval is None:
            raise NothingToDecide(_nothing(job, (await self.job(job)).state, step))
        with refusing(f"the decision of {decision.by!r}"):
            over = await self._flows.decide(approval.id, decision)
        return Decided(id=approval.id, at=approval.at, over=over)


def named(
    path: str | Flow, flow: Flow | Mapping[str, Any] | str | bytes | None
) -> tuple[str, Flow | Mapping[str, Any] | str | bytes]:
    """The path and the flow, which may be said as one. Raises `UsageError`."""
    if isinstance(path, Flow):
        own: str | None = getattr(path, "path", None)
        if own is None or flow is not None:
            raise UsageError("a flow stands under a path; name it first, and then the flow")
        return own, path
    if flow is None:
        raise UsageError(f"which flow is to be pushed as {path!r}? name it after its path")
    return path, flow


def read_flow(flow: Flow | Mapping[str, Any] | str | bytes) -> Flow:
    """The flow that somebody has said in one way or another. Raises `UsageError`."""
    if isinstance(flow, Flow):
        return flow
    if isinstance(flow, str | bytes):
        return flow_of(flow)
    try:
        return flow_of(msgspec.json.encode(flow))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"the definition of the flow cannot be JSON: {error}") from error


def _the_one(job: UUID, step: str | None, waiting: Sequence[ApprovalState]) -> ApprovalState | None:
    """The approval that is meant; None when none waits. Raises `UsageError` when it is unclear."""
    meant = [one for one in waiting if step is None or step in (one.at, one.at.partition("[")[0])]
    if waiting and not meant:
        raise UsageError(f"no approval waits at {step!r} in {job}; {_places(waiting)} does")
    if len(meant) > 1:
        raise UsageError(
            f"{len(meant)} approvals wait in {job}: {_places(meant)}; say which with its step, or"
            " with its own id"
        )
    return meant[0] if meant else None


def _places(approvals: Sequence[ApprovalState]) -> str:
    shown = [f"{one.at} (job {one.id})" for one in approvals[:5]]
    return ", ".join(shown) + ", …" * (len(approvals) > len(shown))


def _nothing(job: UUID, state: str, step: str | None) -> str:
    where = "" if step is None else f" at {step!r}"
    return f"nothing waits for approval{where} in job {job}, which is {state}"


def _check_form(form: object) -> None:
    if not isinstance(form, Mapping):
        raise UsageError(f"a form is filled in by name, as {{'amount': 3}}, not {form!r}")
    try:
        msgspec.json.encode(form)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise UsageError(f"the form cannot be JSON: {error}") from error


def _bounded(version: int | None) -> int | None:
    return version if version is not None and 1 <= version <= VERSIONS_MAX else None


def _unknown(path: str, version: int | None) -> UnknownFlow:
    which = "" if version is None else f"no version {version} of the "
    flow = f"there is {which or 'no '}flow {path!r}"
    return UnknownFlow(f"{flow}; `trioworker flows list` shows those there are")
