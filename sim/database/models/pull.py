"""pull, adopt, next_due: how jobs come to a worker."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from sim.database.models import Rows, Statement, models
from sim.database.rows import ClaimRow, JobRow, ReadyRow

ABOVE_ALL: Final = 32_767
LOWEST_ID: Final = UUID(int=0)
Floor = tuple[datetime, UUID]


@models("pull")
async def pull(
    s: Statement,
    claim: UUID,
    worker: UUID,
    size: int,
    tags: Sequence[str],
    floor_tags: Sequence[str],
    floor_priorities: Sequence[int],
    floor_times: Sequence[datetime],
    floor_ids: Sequence[UUID],
    alone_from: int,
    ranks: Sequence[int],
) -> Rows:
    """Claims up to `size` due jobs, best first; one on its last chance alone."""
    me = s.find(s.tables.worker, worker)
    if me is None or me.lost_at is not None:
        return []
    floors = {
        (tag, priority): (moment, id_)
        for tag, priority, moment, id_ in zip(
            floor_tags, floor_priorities, floor_times, floor_ids, strict=True
        )
    }
    ranked = dict(zip(tags, ranks, strict=True))
    peek: list[ReadyRow] = []
    for tag in tags:
        peek += await _best_of_tag(s, tag, size, floors)
    taken = [
        row
        for best in _batch(_in_turn(peek, ranked)[:size], alone_from)
        if (row := await s.delete(s.tables.ready, best.id)) is not None
    ]
    # The clock is read for them before their claim, for which the statement may have to wait.
    answer = [
        (*claimed(row), *definition(s, job))
        for row in _in_turn(taken, ranked)
        if (job := s.find(s.tables.job, row.id)) is not None
    ]
    if taken:
        await s.insert(s.tables.claim, new_claim(s, claim, worker, s.shuffled(taken)))
    return answer


async def _best_of_tag(
    s: Statement, tag: str, size: int, floors: dict[tuple[str, int], Floor]
) -> list[ReadyRow]:
    """Up to `size` due rows of one tag, lane by lane, locked. What others hold is passed over."""
    visible = [row for row in s.rows(s.tables.ready) if row.tag == tag]
    found: list[ReadyRow] = []
    for priority in _lanes(visible, [p for t, p in floors if t == tag]):
        floor = floors.get((tag, priority))
        lane = [row for row in visible if row.priority == priority and _is_due(s, row, floor)]
        for row in sorted(lane, key=_place):
            if len(found) == size:
                return found

            def still(newer: ReadyRow, floor: Floor | None = floor) -> bool:
                return newer.tag == tag and _is_due(s, newer, floor)

            locked = await s.lock(s.tables.ready, row.id, still=still, skip_locked=True)
            if locked is not None:
                found.append(locked)
    return found


def _in_turn(rows: Sequence[ReadyRow], ranked: Mapping[str, int]) -> Sequence[ReadyRow]:
    """Those of the tag with the highest rank first; of one rank, each in its own place."""
    return sorted(rows, key=lambda row: (-ranked[row.tag], _place(row)))


def _batch(best: Sequence[ReadyRow], alone_from: int) -> Sequence[ReadyRow]:
    """The first of `best`, and those that follow it until one comes that is claimed alone."""
    last_chances = [nth for nth, row in enumerate(best) if row.reaped >= alone_from]
    return best[: max(1, last_chances[0])] if last_chances else best


def _lanes(visible: Sequence[ReadyRow], known: Sequence[int]) -> Iterator[int]:
    """The priorities to look at, highest first: those with rows, and those with a floor."""
    return iter(sorted({row.priority for row in visible} | set(known), reverse=True))


def _is_due(s: Statement, row: ReadyRow, floor: Floor | None) -> bool:
    lowest = floor or (datetime.min.replace(tzinfo=s.now.tzinfo), LOWEST_ID)
    return (row.scheduled_for, row.id) >= lowest and row.scheduled_for <= s.now


def _place(row: ReadyRow) -> tuple[int, datetime, UUID]:
    return -row.priority, row.scheduled_for, row.id


def new_claim(s: Statement, claim: UUID, worker: UUID, rows: Sequence[ReadyRow]) -> ClaimRow:
    """The claim of these jobs."""
    return ClaimRow(
        id=claim,
        worker=worker,
        ids=tuple(row.id for row in rows),
        attempts=tuple(row.attempt for row in rows),
        reaped=tuple(row.reaped for row in rows),
        claimed_at=s.now,
    )


def claimed(row: ReadyRow) -> tuple[Any, ...]:
    """What a worker is told of a job's place in the queue."""
    return row.id, row.attempt, row.reaped, row.scheduled_for, row.tag, row.priority


def definition(s: Statement, job: JobRow) -> tuple[Any, ...]:
    """What a worker is told of what the job is."""
    options = {} if job.options is None else msgspec.json.decode(job.options)
    seen_at = s.clock() if "deadline" in options else None
    return job.kind, job.path, job.args, job.options, job.awaited, seen_at


@models("adopt")
async def adopt(s: Statement, worker: UUID, known: Sequence[UUID]) -> Rows:
    """The jobs of the worker's claims other than those it knows."""
    found = []
    for claim in sorted(s.rows(s.tables.claim), key=lambda claim: claim.id):
        if claim.worker != worker or claim.id in known:
            continue
        for id_, attempt, reaped in zip(claim.ids, claim.attempts, claim.reaped, strict=True):
            job = s.find(s.tables.job, id_)
            if job is not None:
                place = (id_, attempt, reaped, s.now, job.tag, job.priority)
                found.append((*place, *definition(s, job), claim.id))
    return found


@models("next_due")
async def next_due(s: Statement, tags: Sequence[str]) -> Rows:
    """Seconds until the next scheduled job; None when there is none."""
    future = [
        row.scheduled_for
        for row in s.rows(s.tables.ready)
        if row.tag in tags and row.scheduled_for > s.now
    ]
    return [((min(future) - s.clock()).total_seconds() if future else None,)]
