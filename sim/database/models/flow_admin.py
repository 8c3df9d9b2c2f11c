"""What people do with flows: push them, look at their steps, and at what waits for approval."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sim.database import values
from sim.database.models import Rows, Statement, models
from sim.database.rows import FlowRow, FlowStateRow, JobRow


@models("push_flow")
async def push_flow(s: Statement, path: str, definition: str, by: str) -> Rows:
    """Stores the next version, unless the newest is equal."""
    values.jsonb(definition)
    newest = max(_versions(s, path), key=lambda row: row.version, default=None)
    if newest is not None and json.loads(newest.definition) == json.loads(definition):
        return [(newest.version, False)]
    row = FlowRow(
        path=path, version=1 if newest is None else newest.version + 1, definition=definition,
        created_at=s.now, created_by=by,
    )  # fmt: skip
    made = await s.insert(s.tables.flow, row, do_nothing=True)
    return [(row.version, True)] if made else []


def _versions(s: Statement, path: str) -> list[FlowRow]:
    return [row for row in s.rows(s.tables.flow) if row.path == path]


@models("list_flows")
async def list_flows(s: Statement, limit: int) -> Rows:
    """The newest version of each flow, and how many runs are under way."""
    runs = Counter(row.path for row in s.rows(s.tables.flow_state))
    found: list[tuple[Any, ...]] = []
    for path in sorted({row.path for row in s.rows(s.tables.flow)})[:limit]:
        versions = _versions(s, path)
        newest = max(versions, key=lambda row: row.version)
        found.append((
            path, newest.version, len(versions), newest.created_at, newest.created_by, runs[path],
        ))  # fmt: skip
    return found


@models("read_flow")
async def read_flow(s: Statement, path: str, version: int | None) -> Rows:
    """One version of a flow, the newest unless it is said which."""
    wanted = version or max((row.version for row in _versions(s, path)), default=0)
    row = s.find(s.tables.flow, (path, wanted))
    return [] if row is None else [(row.version, row.definition, row.created_at, row.created_by)]


@models("flow_version")
async def flow_version(s: Statement, job: UUID) -> Rows:
    """Which version a run that is under way keeps to."""
    row = s.find(s.tables.flow_state, job)
    return [] if row is None else [(row.version,)]


@models("flow_steps")
async def flow_steps(s: Statement, flow: UUID, limit: int) -> Rows:
    """The newest steps of a flow."""
    steps = [
        (row.id, place[1])
        for row in s.rows(s.tables.job)
        if row.parent == flow and (place := step_of(row)) is not None and place[0] == str(flow)
    ]
    return sorted(steps, reverse=True)[:limit]


def step_of(job: JobRow) -> tuple[str | None, str | None] | None:
    """Of which flow a job is a step, and at which place; None when it is none."""
    step = json.loads(job.options).get("step") if job.options else None
    return (step.get("flow"), step.get("at")) if isinstance(step, dict) else None


@models("list_approvals")
async def list_approvals(s: Statement, limit: int) -> Rows:
    """What waits for people."""
    asked = [
        row for row in s.rows(s.tables.waiting) if row.reason == "approval" and row.key is None
    ]
    asked.sort(key=lambda row: (row.until is None, row.until or s.now, row.id))
    return [(row.id,) for row in asked[:limit]]


@models("approval_states")
async def approval_states(s: Statement, ids: Sequence[UUID]) -> Rows:
    """What approvals ask for, and each decision so far."""
    found: list[tuple[Any, ...]] = []
    for id_ in sorted(ids):
        waiting, job = s.find(s.tables.waiting, id_), s.find(s.tables.job, id_)
        if waiting is None or waiting.reason != "approval" or job is None:
            continue
        above = s.find(s.tables.job, job.parent)
        asked = (
            id_, job.parent, above and above.path, job.options, waiting.since, waiting.until
        )  # fmt: skip
        said = sorted(
            (row for row in s.rows(s.tables.decision) if row.job == id_),
            key=lambda row: (row.decided_at, row.by),
        )
        found += [(*asked, row.by, row.approved, row.form, row.decided_at) for row in said] or [
            (*asked, None, None, None, None)
        ]
    return found


@models("flow_drift")
async def flow_drift(s: Statement, limit: int) -> Rows:
    """Flows that stand still for ever, as it looks."""
    wrong = [
        (what, state.path, state.id, state.root)
        for state in s.rows(s.tables.flow_state)
        for what, holds in (
            ("a flow that stands still without a step to wait for", _has_step(s, state)),
            ("a flow whose outermost flow is gone", s.find(s.tables.flow_state, state.root)),
        )
        if not holds
    ]
    return sorted(wrong, key=lambda row: (row[0], row[2]))[:limit]


def _has_step(s: Statement, state: FlowStateRow) -> bool:
    """Whether some step of the flow has not ended."""
    return any(
        job.parent == state.id
        and job.options is not None
        and "step" in json.loads(job.options)
        and s.find(s.tables.job_completed, job.id) is None
        for job in s.rows(s.tables.job)
    )
