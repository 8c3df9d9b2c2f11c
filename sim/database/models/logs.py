"""What jobs write and tell: store_running while they run, the others with their outcomes."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import NamedTuple
from uuid import UUID

import msgspec

from sim.database.models import Rows, Statement, models
from sim.database.models.commit import held_claims
from sim.database.rows import LogRow, ProgressRow


class Piece(NamedTuple):
    """One row of a statement's columns."""

    id: UUID
    attempt: int
    chunk: int
    text: str


class Told(NamedTuple):
    """The same of progress, with nulls for none."""

    id: UUID
    attempt: int
    fraction: float | None
    note: str | None


@models("store_logs")
async def store_logs(
    s: Statement,
    ids: Sequence[UUID],
    attempts: Sequence[int],
    chunks: Sequence[int],
    texts: Sequence[str],
) -> Rows:
    """Stores the last pieces of what jobs wrote."""
    await _store(s, map(Piece, ids, attempts, chunks, texts))
    return []


@models("store_running")
async def store_running(
    s: Statement,
    worker: UUID,
    claims: Sequence[UUID],
    ids: Sequence[UUID],
    attempts: Sequence[int],
    chunks: Sequence[int],
    texts: Sequence[str],
    fractions: Sequence[float | None],
    notes: Sequence[str | None],
    number: int,
) -> Rows:
    """Stores what running jobs wrote and told, as far as they stand in a claim of this worker.

    Unless a later flush of that claim was stored before.
    """
    held = await held_claims(s, worker, claims, before=number)
    members = [pair for claim in held for pair in zip(claim.ids, claim.attempts, strict=True)]
    pieces = list(map(Piece, ids, attempts, chunks, texts))
    said = [piece for pair in members for piece in pieces if piece[:2] == pair and piece.text]
    told = list(map(Told, ids, attempts, fractions, notes))
    heard = [one for pair in members for one in told if one[:2] == pair]
    for claim in held:
        counted = partial(msgspec.structs.replace, flushed=number)
        await s.update(s.tables.claim, claim.id, counted)
    await _store(s, s.shuffled(said), s.shuffled(heard))
    return []


@models("store_progress")
async def store_progress(
    s: Statement,
    ids: Sequence[UUID],
    attempts: Sequence[int],
    fractions: Sequence[float],
    notes: Sequence[str],
) -> Rows:
    """Stores what attempts have told last of their progress."""
    await _tell(s, map(Told, ids, attempts, fractions, notes))
    return []


async def _tell(s: Statement, told: Iterable[Told]) -> None:
    for one in told:
        if one.fraction is not None:
            row = ProgressRow(
                id=one.id,
                attempt=one.attempt,
                fraction=one.fraction,
                note=one.note,  # type: ignore[arg-type]  # null where it may not be is refused
                told_at=s.now,
            )
            await s.insert(s.tables.job_progress, row, on_conflict=partial(_instead, row))


def _instead(row: ProgressRow, _before: ProgressRow) -> ProgressRow:
    return row


async def _store(s: Statement, pieces: Iterable[Piece], told: Sequence[Told] = ()) -> None:
    """What nothing reads is carried out from the last to the first."""
    said = list(pieces)
    old = [
        (row.id, row.attempt, row.chunk)
        for piece in said
        for row in s.rows(s.tables.job_log)
        if piece.chunk == 0 < row.chunk and (row.id, row.attempt) == piece[:2]
    ]
    for piece in said:
        await s.insert(
            s.tables.job_log,
            LogRow(id=piece.id, attempt=piece.attempt, chunk=piece.chunk, text=piece.text),
            on_conflict=partial(msgspec.structs.replace, text=piece.text),
        )
    await _tell(s, told)
    # Found by their place: what somebody has changed meanwhile stands in another one.
    for key in s.shuffled(sorted(set(old))):
        await s.delete(s.tables.job_log, key, still=lambda _newer: False)


@models("follow_logs")
async def follow_logs(s: Statement, job: UUID, attempt: int, chunk: int) -> Rows:
    """Whether a job has ended, with its pieces from one on; one row at least for a job."""
    if s.find(s.tables.job, job) is None:
        return []
    ended = s.find(s.tables.job_completed, job) is not None
    pieces = sorted(
        (row.attempt, row.chunk, row.text)
        for row in s.rows(s.tables.job_log)
        if row.id == job and (row.attempt, row.chunk) >= (attempt, chunk)
    )
    return [(ended, *piece) for piece in pieces] or [(ended, None, None, None)]
