"""Flows whose steps share one worker: what it is handed, and what becomes of them without it."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import msgspec

from sim.database.models import Rows, Statement, leases, models
from sim.database.models.pull import claimed, definition, new_claim
from sim.database.rows import AttemptRow, CompletedRow, FlowStateRow, ReadyRow
from sim.database.table import Table

LOST: Final = "the worker that ran all steps of this flow is lost"


@models("hand_over")
async def hand_over(s: Statement, claim: UUID, worker: UUID, ids: Sequence[UUID]) -> Rows:
    """Claims the jobs that are ready and due."""

    def is_due(row: ReadyRow) -> bool:
        return row.scheduled_for <= s.now

    wanted = [row.id for row in s.rows(s.tables.ready) if row.id in ids and is_due(row)]
    taken = [
        row
        for id_ in s.shuffled(sorted(wanted))
        if (row := await s.delete(s.tables.ready, id_, still=is_due)) is not None
    ]
    in_turn = sorted(taken, key=lambda row: (-row.priority, ids.index(row.id)))
    answer = [
        (*claimed(row), *definition(s, job))
        for row in in_turn
        if (job := s.find(s.tables.job, row.id)) is not None
    ]
    if taken:
        await s.insert(s.tables.claim, new_claim(s, claim, worker, s.shuffled(taken)))
    return answer


@models("kept_flows")
async def kept_flows(s: Statement, worker: UUID, ids: Sequence[UUID]) -> Rows:
    """Which of the flows are under way and keep to the worker."""
    states = [s.find(s.tables.flow_state, id_) for id_ in sorted(set(ids))]
    return s.shuffled([(row.id,) for row in states if row is not None and row.worker == worker])


@models("lost_flows")
async def lost_flows(s: Statement, limit: int) -> Rows:
    """Flows with a worker that is gone, by the outermost one."""
    claiming = {claim.worker for claim in s.rows(s.tables.claim)}
    found = {
        (row.root, row.worker)
        for row in s.rows(s.tables.flow_state)
        if row.worker is not None and row.worker not in claiming
        if leases.is_dead(s.find(s.tables.worker, row.worker))
    }
    return sorted(found)[:limit]


@models("read_lost_flows")
async def read_lost_flows(s: Statement, roots: Sequence[UUID], workers: Sequence[UUID]) -> Rows:
    """What becomes of these flows depends on it."""
    found: list[tuple[Any, ...]] = []
    for state in sorted(s.rows(s.tables.flow_state), key=lambda row: row.id):
        job = s.find(s.tables.job, state.id)
        if job is None or state.root not in roots or state.worker not in workers:
            continue
        worker = s.find(s.tables.worker, state.worker)
        flow = s.find(s.tables.flow, (state.path, state.version))
        said = {} if flow is None else msgspec.json.decode(flow.definition)
        again = isinstance(said, dict) and said.get("on_worker_lost") == "restart"
        lost = worker is None or worker.stopped_at is None or worker.lost_at is not None
        place = (state.id, state.state, state.attempt, state.reaped)
        found.append((*place, job.options, again, lost))
    return found


@models("end_stranded")
async def end_stranded(s: Statement, ids: Sequence[UUID], error: str) -> Rows:
    """Ends the jobs that no worker holds, as failures."""
    ended = await _end_unstarted(s, s.tables.ready, ids, error)
    ended += await _end_unstarted(s, s.tables.waiting, ids, error)
    jobs = [s.find(s.tables.job, id_) for id_ in sorted(ended)]
    return [(job.id, job.awaited) for job in jobs if job is not None]


async def _end_unstarted(
    s: Statement, table: Table[Any], ids: Sequence[UUID], error: str
) -> list[UUID]:
    locked = [id_ for id_ in sorted(set(ids)) if await s.lock(table, id_) is not None]
    for id_ in s.shuffled(locked):
        row = await s.delete(table, id_)
        assert row is not None, "it is locked"
        done = CompletedRow(
            id=id_, status="failure", result=None, error=error, worker=None, attempt=row.attempt,
            reaped=row.reaped, started_at=None, completed_at=s.now, duration_ms=None,
        )  # fmt: skip
        await s.insert(s.tables.job_completed, done)
    return locked


@models("restart_flows")
async def restart_flows(s: Statement, ids: Sequence[UUID], lost: Sequence[bool]) -> Rows:
    """Makes flows ready, to be begun anew."""
    gone: list[FlowStateRow] = []
    for id_ in s.shuffled(sorted(set(ids))):
        row = await s.delete(s.tables.flow_state, id_)
        if row is not None:
            gone.append(row)
    counts = dict(zip(ids, lost, strict=True))
    for row in gone:
        if (job := s.find(s.tables.job, row.id)) is not None:
            ready = ReadyRow(
                id=row.id, tag=job.tag, priority=job.priority, scheduled_for=s.now,
                attempt=row.attempt + 1, reaped=row.reaped + counts[row.id],
            )  # fmt: skip
            await s.insert(s.tables.ready, ready)
    # Nothing reads it, so it comes last.
    for row in gone:
        await s.insert(s.tables.job_attempt, _remembered(row), do_nothing=True)
    return s.shuffled([(row.id,) for row in gone])


def _remembered(row: FlowStateRow) -> AttemptRow:
    error = msgspec.json.encode({"name": "WorkerLost", "message": LOST}).decode()
    return AttemptRow(
        id=row.id, attempt=row.attempt, error=error, worker=row.worker, started_at=row.began_at,
        duration_ms=None,
    )  # fmt: skip
