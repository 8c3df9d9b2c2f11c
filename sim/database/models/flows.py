"""Flows that are under way, and approvals that wait for people."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID

import msgspec

from sim.database.models import Rows, Statement, models
from sim.database.rows import (
    CompletedRow,
    DecisionRow,
    FlowRow,
    FlowStateRow,
    WaitingRow,
)
from sim.database.values import INTEGER_MAX

MICROSECOND: Final = timedelta(microseconds=1)


@models("newest_flows")
async def newest_flows(s: Statement, paths: Sequence[str]) -> Rows:
    """The newest version of each of the flows."""
    newest: dict[str, FlowRow] = {}
    for row in sorted(s.rows(s.tables.flow), key=lambda row: row.version):
        newest[row.path] = row
    return [(p, newest[p].version, newest[p].definition) for p in sorted(paths) if p in newest]


@models("lock_flows")
async def lock_flows(s: Statement, ids: Sequence[UUID]) -> Rows:
    """Locks flows under way, in id order."""
    locked = [await s.lock(s.tables.flow_state, id_) for id_ in sorted(set(ids))]
    return [(row.id,) for row in locked if row is not None]


@models("lock_flows_of")
async def lock_flows_of(s: Statement, ids: Sequence[UUID]) -> Rows:
    """Locks the outermost flows that the jobs belong to."""
    roots: dict[UUID, None] = {}
    for id_ in ids:
        job = s.find(s.tables.job, id_)
        for kin in (id_, job and job.parent):
            state = s.find(s.tables.flow_state, kin)
            if state is not None:
                roots[state.root] = None
    return await lock_flows(s, list(roots))


@models("read_flows")
async def read_flows(s: Statement, ids: Sequence[UUID]) -> Rows:
    """How far flows are; each definition with the first flow that has it."""
    found: list[tuple[Any, ...]] = []
    told: set[tuple[str, int]] = set()
    for id_ in sorted(ids):
        state, job = s.find(s.tables.flow_state, id_), s.find(s.tables.job, id_)
        if state is None or job is None:
            continue
        which = state.path, state.version
        flow = None if which in told else s.find(s.tables.flow, which)
        told.add(which)
        found.append((
            state.id, state.root, *which, state.state, state.attempt, state.reaped,
            state.worker, job.args, job.tag, job.priority, flow and flow.definition,
        ))  # fmt: skip
    return found


@models("ended_steps")
async def ended_steps(s: Statement, ids: Sequence[UUID]) -> Rows:
    """How jobs ended, with their results."""
    ended = [s.find(s.tables.job_completed, id_) for id_ in sorted(ids)]
    return [(row.id, row.status, row.result) for row in ended if row is not None]


@models("store_flows")
async def store_flows(s: Statement, *columns: Sequence[Any]) -> Rows:
    """Stores how far flows are."""
    for id_, root, path, version, state, attempt, reaped, worker in zip(*columns, strict=True):
        row = FlowStateRow(
            id=id_, root=root, path=path, version=version, state=state, attempt=attempt,
            reaped=reaped, worker=worker, began_at=s.now,
        )  # fmt: skip
        further = partial(msgspec.structs.replace, state=state)
        await s.insert(s.tables.flow_state, row, on_conflict=further)
    return []


@models("end_flows")
async def end_flows(
    s: Statement,
    ids: Sequence[UUID],
    statuses: Sequence[str],
    results: Sequence[str | None],
    errors: Sequence[str | None],
    attempts: Sequence[int],
    reaped: Sequence[int],
    worker: UUID | None,
) -> Rows:
    """Ends flows, those that have just begun as well."""
    gone: dict[UUID, FlowStateRow] = {}
    for id_ in s.shuffled(sorted(set(ids))):
        row = await s.delete(s.tables.flow_state, id_)
        if row is not None:
            gone[id_] = row
    ended = []
    columns = (ids, statuses, results, errors, attempts, reaped)
    for id_, status, result, error, attempt, lost in s.shuffled(list(zip(*columns, strict=True))):
        state = gone.get(id_)
        began_at = s.now if state is None else state.began_at
        done = CompletedRow(
            id=id_, status=status, result=result, error=error, worker=worker,
            attempt=attempt if state is None else state.attempt,
            reaped=lost if state is None else state.reaped,
            started_at=began_at, completed_at=s.now, duration_ms=_milliseconds(began_at, s.now),
        )  # fmt: skip
        if await s.insert(s.tables.job_completed, done, do_nothing=True):
            ended.append(done)
    return [
        (
            job.id, job.kind, job.path, job.args, job.tag, job.priority, job.options, job.awaited,
            done.attempt, done.reaped, done.duration_ms,
        )
        for done in sorted(ended, key=lambda done: done.id)
        if (job := s.find(s.tables.job, done.id)) is not None
    ]  # fmt: skip


def _milliseconds(since: datetime, until: datetime) -> int:
    """How long that was, rounded; nothing when the clock was set back, and never too much."""
    microseconds = (until - since) // MICROSECOND
    return max(0, min(INTEGER_MAX, (microseconds + 500) // 1000))


@models("due_approvals")
async def due_approvals(s: Statement, limit: int) -> Rows:
    """Approvals whose time has run out."""
    due = sorted(
        (row.until, row.id)
        for row in s.rows(s.tables.waiting)
        if row.reason == "approval" and row.until is not None and row.until <= s.now
    )
    return [
        (id_, job.options, sum(said.job == id_ for said in s.rows(s.tables.decision)))
        for _, id_ in due[:limit]
        if (job := s.find(s.tables.job, id_)) is not None
    ]


def _is_undecided(row: WaitingRow) -> bool:
    return row.reason == "approval"


@models("read_approval")
async def read_approval(s: Statement, id_: UUID) -> Rows:
    """What an approval asks for, and what has been decided so far."""
    found = s.find(s.tables.waiting, id_)
    if found is None or not _is_undecided(found):
        return []
    asked = await s.lock(s.tables.waiting, id_, still=_is_undecided)
    job = s.find(s.tables.job, id_)
    if asked is None or job is None:
        return []
    over = None if asked.until is None else asked.until <= s.now
    said = sorted(
        (row for row in s.rows(s.tables.decision) if row.job == id_),
        key=lambda row: (row.decided_at, row.by),
    )
    return [(job.options, over, row.by, row.approved, row.form) for row in said] or [
        (job.options, over, None, None, None)
    ]


@models("store_decision")
async def store_decision(s: Statement, job: UUID, by: str, approved: bool, form: str) -> Rows:  # noqa: FBT001 - the statement's
    """Notes what somebody says of an approval."""
    row = DecisionRow(job=job, by=by, approved=approved, form=form, decided_at=s.now)
    await s.insert(s.tables.decision, row)
    return []


@models("end_approvals")
async def end_approvals(
    s: Statement,
    ids: Sequence[UUID],
    statuses: Sequence[str],
    results: Sequence[str | None],
    errors: Sequence[str | None],
) -> Rows:
    """Ends the approvals that still wait."""
    wanted = [id_ for id_ in sorted(set(ids)) if _waits(s, id_)]
    gone: dict[UUID, WaitingRow] = {}
    for id_ in s.shuffled(wanted):
        row = await s.delete(s.tables.waiting, id_, still=_is_undecided)
        if row is not None:
            gone[id_] = row
    ended = []
    over = list(zip(ids, statuses, results, errors, strict=True))
    for id_, status, result, error in s.shuffled(over):
        if (row := gone.get(id_)) is None:
            continue
        done = CompletedRow(
            id=id_, status=status, result=result, error=error, worker=None, attempt=row.attempt,
            reaped=row.reaped, started_at=row.since, completed_at=s.now,
            duration_ms=_milliseconds(row.since, s.now),
        )  # fmt: skip
        await s.insert(s.tables.job_completed, done)
        ended.append(id_)
    jobs = [s.find(s.tables.job, id_) for id_ in sorted(ended)]
    return [(job.id, job.awaited) for job in jobs if job is not None]


def _waits(s: Statement, id_: UUID) -> bool:
    row = s.find(s.tables.waiting, id_)
    return row is not None and _is_undecided(row)
