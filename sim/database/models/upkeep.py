"""Looking and tidying: where jobs and workers stand, migrations, clocks, pings."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sim.database.models import Rows, Statement, models
from sim.database.models.flow_admin import step_of
from sim.database.rows import JobRow, MigrationRow, WorkerRow

VERSION: Final = "18.0 (simulated)"
MIGRATIONS_LOCK: Final = "trioworker migrations"
LAST_ID: Final = UUID(int=2**128 - 1)


@models("clock")
async def clock(s: Statement) -> Rows:
    """The time by the database's clock."""
    return [(s.clock(),)]


@models("ping")
async def ping(s: Statement) -> Rows:
    """Whether the server takes writes."""
    return [(not s.standby,)]


@models("server_version")
async def server_version(s: Statement) -> Rows:  # noqa: ARG001 - every model is called alike
    """Which PostgreSQL this is."""
    return [(VERSION,)]


@models("schema_version")
async def schema_version(s: Statement) -> Rows:
    """The number of the last migration."""
    return [(max((row.number for row in s.rows(s.tables.migration)), default=0),)]


@models("lock_migrations")
async def lock_migrations(s: Statement) -> Rows:
    """The advisory lock that migrations are made under."""
    await s.advisory_lock(MIGRATIONS_LOCK)
    return [(None,)]


@models("record_migration")
async def record_migration(s: Statement, number: int, name: str) -> Rows:
    """Notes a migration; no row when it was noted already."""
    row = MigrationRow(number=number, name=name, applied_at=s.now)
    return [(number,)] if await s.insert(s.tables.migration, row, do_nothing=True) else []


@models("sweep_cancels")
async def sweep_cancels(s: Statement) -> Rows:
    """Deletes requests to cancel jobs that have ended, or are gone."""
    over = [
        request.id
        for request in s.rows(s.tables.cancel_request)
        if s.find(s.tables.job_completed, request.id) or s.find(s.tables.job, request.id) is None
    ]
    free = [
        id_
        for id_ in sorted(over)
        if await s.lock(s.tables.cancel_request, id_, skip_locked=True) is not None
    ]
    for id_ in s.shuffled(free):
        await s.delete(s.tables.cancel_request, id_)
    return []


@models("late_cancels")
async def late_cancels(s: Statement, limit: int) -> Rows:
    """Jobs that were to be canceled, and that no worker holds."""
    t = s.tables
    asked = sorted((row.id, row.reason) for row in s.rows(t.cancel_request))
    return [
        (id_, reason)
        for id_, reason in asked
        if s.find(t.ready, id_) or s.find(t.waiting, id_) or s.find(t.flow_state, id_)
    ][:limit]


@models("ended_jobs")
async def ended_jobs(s: Statement, ids: Sequence[UUID]) -> Rows:
    """Which of the jobs have ended."""
    return s.shuffled([(i,) for i in dict.fromkeys(ids) if s.find(s.tables.job_completed, i)])


@models("job_logs")
async def job_logs(s: Statement, job: UUID) -> Rows:
    """What a job wrote, by attempt; one empty row for a job that wrote nothing."""
    if s.find(s.tables.job, job) is None:
        return []
    chunks = sorted(
        (row for row in s.rows(s.tables.job_log) if row.id == job),
        key=lambda row: (row.attempt, row.chunk),
    )
    texts: dict[int, str] = {}
    for row in chunks:
        texts[row.attempt] = texts.get(row.attempt, "") + row.text
    return list(texts.items()) or [(None, None)]


@models("job_attempts")
async def job_attempts(s: Statement, job: UUID) -> Rows:
    """The attempts of a job that another followed; one empty row when there are none."""
    if s.find(s.tables.job, job) is None:
        return []
    failed = sorted(
        (row for row in s.rows(s.tables.job_attempt) if row.id == job), key=lambda row: row.attempt
    )
    return [
        (row.attempt, row.error, row.worker, row.started_at, row.duration_ms) for row in failed
    ] or [(None,) * 5]


@models("job_states")
async def job_states(s: Statement, ids: Sequence[UUID]) -> Rows:
    """Where the jobs stand and what became of them."""
    return [_state(s, job) for id_ in ids if (job := s.find(s.tables.job, id_)) is not None]


def _state(s: Statement, job: JobRow) -> tuple[Any, ...]:
    done = s.find(s.tables.job_completed, job.id)
    ready = s.find(s.tables.ready, job.id)
    waiting = s.find(s.tables.waiting, job.id)
    under_way = s.find(s.tables.flow_state, job.id)
    claim = None
    if done is None and ready is None and waiting is None and under_way is None:
        claim = s.any([c for c in s.rows(s.tables.claim) if job.id in c.ids])
    attempt, reaped, worker = None, None, None
    if claim is not None:
        place = claim.ids.index(job.id)
        attempt, reaped, worker = claim.attempts[place], claim.reaped[place], claim.worker
    for row in (under_way, waiting, ready, done):
        if row is not None:
            attempt, reaped = row.attempt, row.reaped
    told = s.find(s.tables.job_progress, job.id)
    if told is not None and told.attempt != attempt:
        told = None
    return (
        job.id, job.kind, job.path, job.args, job.tag, job.priority, _place(s, job.id, claim),
        attempt, reaped, worker if done is None or done.worker is None else done.worker,
        job.created_at, ready and ready.scheduled_for, claim and claim.claimed_at,
        done and done.started_at, done and done.completed_at, done and done.duration_ms,
        done and done.result, done and done.error,
        sorted(row.label for row in s.rows(s.tables.job_label) if row.id == job.id),
        _waits_for(s, job.id), *_step(job),
        told and told.fraction, told and told.note, told and told.told_at,
    )  # fmt: skip


def _waits_for(s: Statement, job: UUID) -> str | None:
    if s.find(s.tables.job_completed, job) or s.find(s.tables.ready, job):
        return None
    if s.find(s.tables.flow_state, job):
        return "steps"
    waiting = s.find(s.tables.waiting, job)
    if waiting is None:
        return None
    return "slot" if waiting.reason == "limit" else waiting.reason


def _step(job: JobRow) -> tuple[UUID | None, str | None]:
    """The flow that the job is a step of, and at which place."""
    step = step_of(job)
    return (None, None) if step is None else (job.parent, step[1])


def _place(s: Statement, job: UUID, claim: object) -> str:
    if (done := s.find(s.tables.job_completed, job)) is not None:
        return done.status
    if (ready := s.find(s.tables.ready, job)) is not None:
        return "scheduled" if ready.scheduled_for > s.now else "ready"
    if s.find(s.tables.waiting, job) or s.find(s.tables.flow_state, job):
        return "waiting"
    return "nowhere" if claim is None else "running"


@models("list_jobs")
async def list_jobs(
    s: Statement,
    state: str | None,
    tag: str | None,
    path: str | None,
    limit: int,
    before: UUID | None,
    label: str | None,
) -> Rows:
    """Ids of the newest jobs that fit."""
    found = [
        id_
        for id_, known_tag in (_standing(s, state) if label is None else _labelled(s, state, label))
        if id_ < (before or LAST_ID) and _fits(s.find(s.tables.job, id_), known_tag, tag, path)
    ]
    return [(id_,) for id_ in sorted(found, reverse=True)[:limit]]


def _fits(job: JobRow | None, known_tag: str | None, tag: str | None, path: str | None) -> bool:
    """Whether tag and path are the wanted ones; `known_tag` is what ready says without the job."""
    if job is None:
        return known_tag is not None and tag in (None, known_tag) and path is None
    return tag in (None, job.tag) and path in (None, job.path)


def _labelled(s: Statement, state: str | None, label: str) -> Iterator[tuple[UUID, None]]:
    for row in s.rows(s.tables.job_label):
        done = s.find(s.tables.job_completed, row.id)
        if row.label == label and (state is None or (done is not None and done.status == state)):
            yield row.id, None


def _standing(s: Statement, state: str | None) -> Iterator[tuple[UUID, str | None]]:
    """The ids of the jobs in one state, with their tag where it stands there."""
    match state:
        case None:
            yield from ((row.id, row.tag) for row in s.rows(s.tables.job))
        case "ready" | "scheduled":
            for row in s.rows(s.tables.ready):
                if (row.scheduled_for > s.now) == (state == "scheduled"):
                    yield row.id, row.tag
        case "waiting":
            yield from ((row.id, None) for row in s.rows(s.tables.waiting))
            yield from ((row.id, None) for row in s.rows(s.tables.flow_state))
        case "running":
            for claim in s.rows(s.tables.claim):
                yield from ((id_, None) for id_ in claim.ids)
        case _:
            for done in s.rows(s.tables.job_completed):
                if done.status == state:
                    yield done.id, None


@models("count_jobs")
async def count_jobs(s: Statement) -> Rows:
    """How many unfinished jobs stand where, by tag."""
    counts: dict[str, Counter[str]] = {}
    for place, id_, tag in _unfinished(s):
        job = None if tag is not None else s.find(s.tables.job, id_)
        if job is not None:
            tag = job.tag  # noqa: PLW2901 - what is waiting or running has its tag in job
        if tag is not None:
            counts.setdefault(tag, Counter())[place] += 1
    places = ("ready", "scheduled", "waiting", "running")
    return [(tag, *(counts[tag][place] for place in places)) for tag in sorted(counts)]


def _unfinished(s: Statement) -> Iterator[tuple[str, UUID, str | None]]:
    for ready in s.rows(s.tables.ready):
        yield "scheduled" if ready.scheduled_for > s.now else "ready", ready.id, ready.tag
    for waiting in s.rows(s.tables.waiting):
        yield "waiting", waiting.id, None
    for under_way in s.rows(s.tables.flow_state):
        yield "waiting", under_way.id, None
    for claim in s.rows(s.tables.claim):
        for id_ in claim.ids:
            yield "running", id_, None


@models("list_workers")
async def list_workers(s: Statement, limit: int) -> Rows:
    """Those that live, then those that ended last."""
    rows = sorted(s.rows(s.tables.worker), key=_newest_last, reverse=True)
    return [_worker(s, row) for row in rows[:limit]]


def _newest_last(row: WorkerRow) -> tuple[datetime, UUID]:
    return row.stopped_at or row.lost_at or datetime.max.replace(
        tzinfo=row.started_at.tzinfo
    ), row.id


def _worker(s: Statement, row: WorkerRow) -> tuple[Any, ...]:
    lease = timedelta(seconds=row.lease_s)
    if row.stopped_at is not None:
        state = "stopped"
    elif row.lost_at is not None:
        state = "lost"
    else:
        state = "silent" if row.last_heartbeat < s.now - lease else "alive"
    claimed = sum(len(c.ids) for c in s.rows(s.tables.claim) if c.worker == row.id)
    return (
        row.id, row.name, row.host, row.pid, row.mode, list(row.tags), list(row.ranks), state,
        row.started_at, row.last_heartbeat, claimed, row.jobs_done, row.jobs_failed,
        row.jobs_running,
    )  # fmt: skip
