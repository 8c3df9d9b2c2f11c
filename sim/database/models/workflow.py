"""Children and steps of running functions."""

import json
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple
from uuid import UUID

from sim.database.models import Rows, Statement, models
from sim.database.models.commit import held_claims
from sim.database.rows import CompletedRow, ParentRow, StepRow

UNSUCCESSFUL = ("failure", "canceled")


class Step(NamedTuple):
    """One row of a statement's columns."""

    id: UUID
    attempt: int
    name: str
    result: str


@models("hold_parents")
async def hold_parents(
    s: Statement,
    worker: UUID,
    claims: Sequence[UUID],
    ids: Sequence[UUID],
    attempts: Sequence[int],
    tries: Sequence[int],
) -> Rows:
    """Locks the claims of attempts, and notes those that are in them."""
    held = await held_claims(s, worker, claims)
    asked = list(zip(ids, attempts, tries, strict=True))
    mine = [
        (id_, which)
        for claim in held
        for member in zip(claim.ids, claim.attempts, strict=True)
        for id_, attempt, which in asked
        if (id_, attempt) == member
    ]
    for id_, which in sorted(mine, key=lambda one: one[0]):
        row = ParentRow(id=id_, tries=which, since=s.now)
        await s.insert(s.tables.parent, row, on_conflict=partial(_later, row))
    return s.shuffled([(id_,) for id_, _ in mine])


def _later(row: ParentRow, before: ParentRow) -> ParentRow | None:
    return row if before.tries < row.tries else None


@models("known_children")
async def known_children(
    s: Statement,
    ids: Sequence[UUID],
    parents: Sequence[UUID],
    kinds: Sequence[str],
    paths: Sequence[str],
    args: Sequence[str],
) -> Rows:
    """Which jobs exist, whether they are what is asked for, and may be run again."""
    rows = []
    for id_, parent, *what, text in zip(ids, parents, kinds, paths, args, strict=True):
        job = s.find(s.tables.job, id_)
        if job is not None:
            asked = (parent, *what, json.loads(text))
            same = (job.parent, job.kind, job.path, json.loads(job.args)) == asked
            done, known = s.find(s.tables.job_completed, id_), s.find(s.tables.parent, parent)
            rows.append((id_, same, _is_stale(done, known)))
    return s.shuffled(rows)


def _is_stale(done: CompletedRow | None, parent: ParentRow | None) -> bool:
    if done is None or parent is None or done.status not in UNSUCCESSFUL:
        return False
    return done.completed_at < parent.since


@models("child_ends")
async def child_ends(s: Statement, ids: Sequence[UUID]) -> Rows:
    """How jobs have ended; those that are nowhere are gone."""
    rows: list[tuple[UUID, str, str | None, str | None]] = []
    for id_ in ids:
        done = s.find(s.tables.job_completed, id_)
        if done is not None:
            rows.append((id_, done.status, done.result, done.error))
        elif s.find(s.tables.job, id_) is None:
            rows.append((id_, "gone", None, None))
    return s.shuffled(rows)


@models("own_children")
async def own_children(s: Statement, worker: UUID, ids: Sequence[UUID]) -> Rows:
    """Which jobs are children of jobs in a worker's claims."""
    held = {id_ for claim in s.rows(s.tables.claim) if claim.worker == worker for id_ in claim.ids}
    jobs = [s.find(s.tables.job, id_) for id_ in ids]
    return s.shuffled([(job.id,) for job in jobs if job is not None and job.parent in held])


@models("job_steps")
async def job_steps(s: Statement, job: UUID) -> Rows:
    """The steps of a job."""
    steps = [row for row in s.rows(s.tables.job_step) if row.job == job]
    steps.sort(key=lambda row: (row.at, row.name))
    return [(row.name, row.result, row.at) for row in steps]


@models("store_steps")
async def store_steps(
    s: Statement,
    worker: UUID,
    claims: Sequence[UUID],
    ids: Sequence[UUID],
    attempts: Sequence[int],
    names: Sequence[str],
    results: Sequence[str],
) -> Rows:
    """Stores results of steps of what stands in a claim of this worker; returns all others."""
    held = await held_claims(s, worker, claims)
    steps = list(map(Step, ids, attempts, names, results))
    mine = [
        step
        for claim in held
        for member in zip(claim.ids, claim.attempts, strict=True)
        for step in steps
        if step[:2] == member
    ]
    for step in sorted(mine, key=lambda step: (step.id, step.name)):
        row = StepRow(job=step.id, name=step.name, result=step.result, at=s.now)
        await s.insert(s.tables.job_step, row, do_nothing=True)
    stored = {(step.id, step.name) for step in mine}
    return s.shuffled([(step.id,) for step in steps if (step.id, step.name) not in stored])


@models("ended_parents")
async def ended_parents(s: Statement, limit: int) -> Rows:
    """Locks parents that have ended, and their ends."""
    ended: list[UUID] = []
    for row in sorted(s.rows(s.tables.parent), key=lambda row: row.id):
        if len(ended) == limit:
            break
        done, job = s.find(s.tables.job_completed, row.id), s.find(s.tables.job, row.id)
        if done is None and job is not None:
            continue
        if await s.lock(s.tables.parent, row.id, skip_locked=True) is not None:
            ended.append(row.id)
    failed = {}
    for id_ in ended:
        over = await s.lock(s.tables.job_completed, id_)
        failed[id_] = over is not None and over.status in UNSUCCESSFUL
    return s.shuffled(list(failed.items()))


@models("forget_parents")
async def forget_parents(s: Statement, ids: Sequence[UUID]) -> Rows:
    """Forgets parents."""
    for id_ in s.shuffled(list(ids)):
        await s.delete(s.tables.parent, id_)
    return []


@models("children")
async def children(s: Statement, parent: UUID, limit: int) -> Rows:
    """The children of a job, oldest first."""
    ids = sorted(row.id for row in s.rows(s.tables.job) if row.parent == parent)
    return [(id_,) for id_ in ids[:limit]]
