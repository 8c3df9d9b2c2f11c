"""commit and what may share its transaction: find_stored, notify_done."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from itertools import zip_longest
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from sim.database.models import Rows, Statement, models
from sim.database.rows import ClaimRow, CompletedRow, ReadyRow
from sim.database.values import later, not_null


class Outcome(NamedTuple):
    """One row of the statement's columns."""

    id: UUID
    attempt: int
    status: str | None
    result: str | None
    error: str | None
    age_s: float
    duration_ms: int
    delay_s: float | None
    charged: bool | None


class Member(NamedTuple):
    """A job in a claim."""

    claim: UUID
    reaped: int


@models("commit")
async def commit(
    s: Statement, worker: UUID, claims: Sequence[UUID], *columns: Sequence[Any]
) -> Rows:
    """Stores the outcomes that match a claim of this worker; returns the ids that do not."""
    outcomes = [Outcome(*row) for row in zip_longest(*columns)]
    all_succeeded = not columns[2]
    held = await held_claims(s, worker, claims)
    members: dict[tuple[UUID, int], list[Member]] = {}
    for claim in held:
        for id_, attempt, reaped in zip(claim.ids, claim.attempts, claim.reaped, strict=True):
            members.setdefault((id_, attempt), []).append(Member(claim.id, reaped))
    matched = s.shuffled(
        [(o, member) for o in outcomes for member in members.get((o.id, o.attempt), ())]
    )
    # The parts that nothing reads are carried out from the last to the first.
    await _shrink(s, held, {(o.id, o.attempt) for o, _ in matched})
    for outcome, member in matched:
        if outcome.delay_s is not None:
            await _return(s, outcome, member)
    for outcome, member in matched:
        if outcome.delay_s is None and outcome.status != "begun":
            status = "success" if all_succeeded else outcome.status
            row = _completed(outcome, member, worker, status, s.now)
            await s.insert(s.tables.job_completed, row, do_nothing=True)
    stored = {outcome.id for outcome, _ in matched}
    return s.shuffled([(o.id,) for o in outcomes if o.id not in stored])


async def held_claims(
    s: Statement, worker: UUID, claims: Sequence[UUID], *, before: int | None = None
) -> list[ClaimRow]:
    """Those of the claims that are this worker's, locked in their order.

    And have had no flush yet but such as come `before` this one.
    """

    def fits(row: ClaimRow) -> bool:
        return row.worker == worker and (before is None or row.flushed < before)

    held = []
    for claim in sorted(set(claims)):
        row = s.find(s.tables.claim, claim)
        if row is None or not fits(row):
            continue
        locked = await s.lock(s.tables.claim, claim, still=fits)
        if locked is not None:
            held.append(locked)
    return held


def _completed(
    outcome: Outcome, member: Member, worker: UUID, status: str | None, now: datetime
) -> CompletedRow:
    return CompletedRow(
        id=outcome.id,
        status=not_null(status, "status"),
        result=outcome.result,
        error=outcome.error,
        worker=worker,
        attempt=outcome.attempt,
        reaped=member.reaped,
        started_at=later(now, -outcome.age_s),
        completed_at=now,
        duration_ms=outcome.duration_ms,
    )


async def _return(s: Statement, outcome: Outcome, member: Member) -> None:
    assert outcome.delay_s is not None
    job = s.find(s.tables.job, outcome.id)
    if job is None:
        return
    await s.insert(
        s.tables.ready,
        ReadyRow(
            id=outcome.id,
            tag=job.tag,
            priority=job.priority,
            scheduled_for=later(s.now, outcome.delay_s),
            attempt=outcome.attempt + not_null(outcome.charged, "attempt"),
            reaped=member.reaped,
        ),
    )


async def _shrink(s: Statement, held: Sequence[ClaimRow], matched: set[tuple[UUID, int]]) -> None:
    """Take the matched jobs out of their claims; an empty claim ends."""
    for claim in held:
        jobs = zip(claim.ids, claim.attempts, claim.reaped, strict=True)
        left = [job for job in jobs if job[:2] not in matched]
        if left:
            ids, attempts, reaped = zip(*left, strict=True)

            keep = partial(msgspec.structs.replace, ids=ids, attempts=attempts, reaped=reaped)
            await s.update(s.tables.claim, claim.id, keep)
        else:
            await s.delete(s.tables.claim, claim.id)


@models("find_stored")
async def find_stored(
    s: Statement, worker: UUID, ids: Sequence[UUID], attempts: Sequence[int]
) -> Rows:
    """Which attempts of this worker are stored already."""
    found = []
    for id_, attempt in zip(ids, attempts, strict=True):
        ends = (s.find(s.tables.job_completed, id_), s.find(s.tables.job_attempt, (id_, attempt)))
        if any(
            end is not None
            and end.started_at is not None
            and (end.worker, end.attempt) == (worker, attempt)
            for end in ends
        ):
            found.append((id_,))
    return s.shuffled(found)


@models("notify_done")
async def notify_done(s: Statement, ids: Sequence[UUID]) -> Rows:
    """Tells those who wait for the jobs."""
    for id_ in ids:
        s.notify("trioworker_done", str(id_))
    return [(None,)] * len(ids)
