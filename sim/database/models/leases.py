"""Who lives and who does not: workers, heartbeats, reaping."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import msgspec

from sim.database.models import Rows, Statement, models
from sim.database.rows import AttemptRow, ClaimRow, CompletedRow, ReadyRow, WorkerRow


@models("register_worker")
async def register_worker(
    s: Statement,
    worker: UUID,
    name: str,
    host: str,
    pid: int,
    mode: str,
    tags: Sequence[str],
    ranks: Sequence[int],
    lease_s: float,
    token: UUID | None,
) -> Rows:
    """Makes the worker's row."""
    row = WorkerRow(
        id=worker,
        name=name,
        host=host,
        pid=pid,
        mode=mode,
        tags=tuple(tags),
        ranks=tuple(ranks),
        lease_s=lease_s,
        started_at=s.now,
        last_heartbeat=s.now,
        token=token,
    )
    await s.insert(s.tables.worker, row, do_nothing=True)
    return []


@models("retire_worker")
async def retire_worker(s: Statement, worker: UUID) -> Rows:
    """Notes that the worker stopped of its own will."""
    await s.update(
        s.tables.worker,
        worker,
        lambda row: msgspec.structs.replace(row, stopped_at=s.now, jobs_running=0),
    )
    return []


@models("heartbeat")
async def heartbeat(s: Statement, worker: UUID, done: int, failed: int, running: int) -> Rows:
    """Renews the lease, unless it was taken away."""
    # The clock is read before the row is waited for, and again when another version is found.
    moment = s.clock()

    def still(newer: WorkerRow) -> bool:
        nonlocal moment
        moment = s.clock()
        return newer.lost_at is None

    def renewed(row: WorkerRow) -> WorkerRow:
        return msgspec.structs.replace(
            row,
            last_heartbeat=moment,
            jobs_done=done,
            jobs_failed=failed,
            jobs_running=running,
        )

    row = s.find(s.tables.worker, worker)
    if row is None or row.lost_at is not None:
        return []
    updated = await s.update(s.tables.worker, worker, renewed, still=still)
    return [] if updated is None else [(worker,)]


@models("cancels_for_worker")
async def cancels_for_worker(s: Statement, worker: UUID) -> Rows:
    """Requests to cancel what the worker holds."""
    held = {id_ for claim in s.rows(s.tables.claim) if claim.worker == worker for id_ in claim.ids}
    requests = [(r.id, r.reason) for r in s.rows(s.tables.cancel_request) if r.id in held]
    return s.shuffled(requests)


@models("mark_lost")
async def mark_lost(s: Statement, limit: int) -> Rows:
    """Takes the lease from silent workers, unless the server has started a lease ago or later."""

    def silent(row: WorkerRow) -> bool:
        lease = timedelta(seconds=row.lease_s)
        return (
            row.lost_at is None
            and row.stopped_at is None
            and row.last_heartbeat < s.now - lease
            and s.started_at < s.now - lease
        )

    marked: list[WorkerRow] = []
    for row in sorted(filter(silent, s.rows(s.tables.worker)), key=lambda row: row.id):
        if len(marked) == limit:
            break
        locked = await s.lock(s.tables.worker, row.id, still=silent, skip_locked=True)
        if locked is not None:
            marked.append(locked)
    for row in marked:
        await s.update(
            s.tables.worker, row.id, lambda old: msgspec.structs.replace(old, lost_at=s.now)
        )
    return s.shuffled([(row.id, row.name) for row in marked])


@models("reap")
async def reap(s: Statement, limit: int, reaped_max: int) -> Rows:
    """Takes back claims of dead workers: their jobs are ready again, or given up."""
    dead: list[ClaimRow] = []
    for claim in sorted(s.rows(s.tables.claim), key=lambda claim: claim.id):
        if len(dead) == limit:
            break
        if is_dead(s.find(s.tables.worker, claim.worker)):
            locked = await s.lock(s.tables.claim, claim.id, skip_locked=True)
            if locked is not None:
                dead.append(locked)
    members = s.shuffled(
        [
            _Member(claim.worker, *job, _is_stranded(s, job[0]))
            for claim in dead
            for job in zip(claim.ids, claim.attempts, claim.reaped, strict=True)
        ]
    )
    hopeless = {m.id: m.stranded or m.reaped >= reaped_max for m in members}
    # The parts that nothing reads are carried out from the last to the first.
    again = [member for member in members if not hopeless[member.id]]
    for worker, id_, attempt, _, _ in again:
        await s.insert(s.tables.job_attempt, _lost(id_, worker, attempt), do_nothing=True)
    for member in members:
        if hopeless[member.id]:
            await s.insert(s.tables.job_completed, _given_up(member, s.now), do_nothing=True)
    for _, id_, attempt, lost, _ in again:
        await _make_ready(s, id_, attempt + 1, lost + 1)
    for claim in dead:
        await s.delete(s.tables.claim, claim.id)
    return [(member.id, hopeless[member.id], member.stranded) for member in members]


class _Member(NamedTuple):
    worker: UUID
    id: UUID
    attempt: int
    reaped: int
    stranded: bool


def _is_stranded(s: Statement, id_: UUID) -> bool:
    """Whether nobody but its worker may run it."""
    job = s.find(s.tables.job, id_)
    options = None if job is None or job.options is None else msgspec.json.decode(job.options)
    step = options.get("step") if isinstance(options, dict) else None
    return isinstance(step, dict) and "shared" in step


def is_dead(worker: WorkerRow | None) -> bool:
    """Whether the worker is gone, whatever became of it."""
    return worker is None or worker.lost_at is not None or worker.stopped_at is not None


def _lost(id_: UUID, worker: UUID, attempt: int) -> AttemptRow:
    message = "worker lost: it died with this job in its hands"
    error = msgspec.json.encode({"name": "WorkerLost", "message": message}).decode()
    return AttemptRow(
        id=id_, attempt=attempt, error=error, worker=worker, started_at=None, duration_ms=None
    )


def _given_up(member: _Member, now: datetime) -> CompletedRow:
    message = f"worker lost: {member.reaped + 1} workers died with this job in their hands"
    if member.stranded:
        message = "the one worker that may run it is lost"
    error = msgspec.json.encode({"name": "WorkerLost", "message": message}).decode()
    return CompletedRow(
        id=member.id,
        status="failure",
        result=None,
        error=error,
        worker=member.worker,
        attempt=member.attempt,
        reaped=member.reaped + 1,
        started_at=None,
        completed_at=now,
        duration_ms=None,
    )


async def _make_ready(s: Statement, id_: UUID, attempt: int, reaped: int) -> None:
    job = s.find(s.tables.job, id_)
    if job is not None:
        row = ReadyRow(
            id=id_,
            tag=job.tag,
            priority=job.priority,
            scheduled_for=s.now,
            attempt=attempt,
            reaped=reaped,
        )
        await s.insert(s.tables.ready, row)


@models("forget_workers")
async def forget_workers(s: Statement, limit: int, after_s: float) -> Rows:
    """Deletes workers that ended long ago and claim nothing."""
    before = s.now - timedelta(seconds=after_s)
    claiming = {claim.worker for claim in s.rows(s.tables.claim)}

    def long_gone(row: WorkerRow) -> bool:
        ended = row.stopped_at or row.lost_at
        return ended is not None and ended < before and row.id not in claiming

    gone: list[WorkerRow] = []
    for row in sorted(filter(long_gone, s.rows(s.tables.worker)), key=lambda row: row.id):
        if len(gone) == limit:
            break
        locked = await s.lock(s.tables.worker, row.id, still=long_gone, skip_locked=True)
        if locked is not None:
            gone.append(locked)
    for row in gone:
        await s.delete(s.tables.worker, row.id)
    return s.shuffled([(row.id,) for row in gone])
