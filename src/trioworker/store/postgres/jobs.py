"""`PostgresJobs`: the client's transactions, in terms of named statements.

Rule of this file: like `store.py` for the worker's, it knows which statements make a transaction
and in which order, and nothing of connections or retries. Every method raises `StoreError`.
"""

from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import anyio
import msgspec

from trioworker.errors import DuplicateJob
from trioworker.model.following import Piece
from trioworker.model.job import NewJob
from trioworker.model.outcome import JobError
from trioworker.model.state import (
    Cancellation,
    Flaw,
    JobAttempt,
    JobLogText,
    JobProgress,
    JobState,
    JobStep,
    PlaceInLine,
    Requeued,
    TagCounts,
    WorkerState,
)
from trioworker.model.unique import refused
from trioworker.store.postgres.cancels import cancel_families
from trioworker.store.postgres.database import Database, Row, Transaction
from trioworker.store.postgres.enqueue import Enqueued, place
from trioworker.store.postgres.flow_drift import find_stuck
from trioworker.store.postgres.limits import find_drift, limits_said, settle_limits
from trioworker.store.postgres.requeue import requeue

CLIENT: Final = "client"

REQUEUED_AT_ONCE_MAX: Final = 500
"""So many dead letters are looked up, and made ready, at a time."""

HINT_EVERY_S: Final = 0.005
"""A worker that a hint woke looks once more after this long, and finds what came without one."""

_decode_error = msgspec.json.Decoder(JobError).decode


class Pieces(msgspec.Struct, frozen=True):
    """What a job wrote from some piece on, and whether that is all that will ever come."""

    ended: bool
    pieces: Sequence[Piece]


class PostgresJobs:
    """What a client asks of the database, over its lane `CLIENT`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._hinted_s: dict[str, float] = {}

    async def enqueue(self, jobs: Sequence[NewJob]) -> Enqueued:
        """Make the jobs ready, or let them wait for a slot, in one transaction.

        Ids that exist already are left as they are. No id may come twice, and all `args` are
        UTF-8. Hints to workers go out with it, at most one for each tag. Raises `DuplicateJob`.
        """
        now_s = anyio.current_time()
        self._hinted_s = {t: s for t, s in self._hinted_s.items() if now_s - s < HINT_EVERY_S}
        spared = frozenset(self._hinted_s)

        async def body(tx: Transaction) -> tuple[Enqueued, AbstractSet[str]]:
            placed = await place(tx, jobs)
            new = placed.new
            for job, first, key in refused(jobs, placed.first):
                raise DuplicateJob(job, first=first, key=key)
            await settle_limits(tx, limits_said(job for job in jobs if job.id in new))
            tags = {job.tag for job in jobs if job.id in new} - spared
            if tags:
                await tx.run("notify_ready", sorted(tags))
            return placed, tags

        placed, hinted = await self._database.transact(CLIENT, body)
        self._hinted_s.update(dict.fromkeys(hinted, now_s))
        return placed

    async def now(self) -> datetime:
        """The time by the database's clock."""
        rows = await self._database.run(CLIENT, "clock")
        now: datetime = rows[0][0]
        return now

    async def states(self, ids: Sequence[UUID]) -> Sequence[JobState]:
        """Where the jobs stand, in the order of `ids`; what no job has as id is left out."""
        return [_job_state(row) for row in await self._database.run(CLIENT, "job_states", ids)]

    async def newest(
        self,
        *,
        state: str | None,
        tag: str | None,
        path: str | None,
        limit: int,
        before: UUID | None,
        label: str | None = None,
    ) -> Sequence[JobState]:
        """The newest jobs that fit, at most `limit`, all older than `before`; newest first.

        Those that moved on while they were looked up are left out.
        """

        async def body(tx: Transaction) -> Sequence[Row]:
            ids = await tx.run("list_jobs", state, tag, path, limit, before, label)
            return await tx.run("job_states", [row[0] for row in ids])

        states = [_job_state(row) for row in await self._database.transact(CLIENT, body)]
        return [found for found in states if state in (None, found.state)]

    async def place_in_line(self, job: UUID) -> PlaceInLine | None:
        """Where the job waits for a slot; None when it does not."""
        rows = await self._database.run(CLIENT, "place_in_line", job)
        return PlaceInLine(*rows[0]) if rows else None

    async def ended(self, ids: Collection[UUID]) -> AbstractSet[UUID]:
        """Which of the jobs have ended."""
        rows = await self._database.run(CLIENT, "ended_jobs", list(ids))
        return {row[0] for row in rows}

    async def cancel(self, ids: Iterable[UUID], reason: str) -> Cancellation:
        """Cancel the jobs and those below them: unstarted ones end, workers of others are told."""
        wanted = list(dict.fromkeys(ids))

        async def body(tx: Transaction) -> Cancellation:
            return await cancel_families(tx, wanted, reason)

        return await self._database.transact(CLIENT, body)

    async def requeue(self, ids: Sequence[UUID]) -> Requeued:
        """Make jobs that failed or were canceled ready once more, in one transaction."""

        async def body(tx: Transaction) -> Requeued:
            return await requeue(tx, ids)

        return await self._database.transact(CLIENT, body)

    async def dead_letters(
        self, *, state: str, path: str | None, tag: str | None, since: datetime | None
    ) -> AsyncIterator[Sequence[UUID]]:
        """Jobs that ended as `state`, since then and up to now, in id order, some at a time."""
        until = await self.now()
        after: UUID | None = None
        while True:
            rows = await self._database.run(
                CLIENT, "dead_letters", state, path, tag, since, until, after, REQUEUED_AT_ONCE_MAX
            )
            if rows:
                yield [row[0] for row in rows]
            if len(rows) < REQUEUED_AT_ONCE_MAX:
                return
            after = rows[-1][0]

    async def logs(self, job: UUID) -> Sequence[JobLogText] | None:
        """What the job wrote, by attempt; None when there is no such job."""
        rows = await self._database.run(CLIENT, "job_logs", job)
        if not rows:
            return None
        return [JobLogText(attempt, text) for attempt, text in rows if attempt is not None]

    async def pieces(self, job: UUID, attempt: int, chunk: int) -> Pieces | None:
        """What the job wrote, from that piece on; None when there is no such job."""
        rows = await self._database.run(CLIENT, "follow_logs", job, attempt, chunk)
        if not rows:
            return None
        return Pieces(rows[0][0], [Piece(*row[1:]) for row in rows if row[1] is not None])

    async def attempts(self, job: UUID) -> Sequence[JobAttempt] | None:
        """The job's attempts that another followed, in order; None when there is no such job."""
        rows = await self._database.run(CLIENT, "job_attempts", job)
        if not rows:
            return None
        return [
            JobAttempt(attempt, _decode_error(error), *rest)
            for attempt, error, *rest in rows
            if attempt is not None
        ]

    async def workers(self, limit: int) -> Sequence[WorkerState]:
        """Up to `limit` workers: those that live, then those that ended last."""
        return [
            _worker_state(row) for row in await self._database.run(CLIENT, "list_workers", limit)
        ]

    async def children(self, job: UUID, limit: int) -> Sequence[JobState]:
        """The jobs whose parent it is, oldest first, at most `limit`."""

        async def body(tx: Transaction) -> Sequence[Row]:
            ids = await tx.run("children", job, limit)
            return await tx.run("job_states", [row[0] for row in ids])

        return [_job_state(row) for row in await self._database.transact(CLIENT, body)]

    async def steps(self, job: UUID) -> Sequence[JobStep]:
        """Its steps whose results are stored, in the order in which they were."""
        rows = await self._database.run(CLIENT, "job_steps", job)
        return [JobStep(name, _decoded(result), at) for name, result, at in rows]

    async def flaws(self, *, mend: bool) -> Sequence[Flaw]:
        """What is wrong with what is stored, and mended if asked to: of limits, then of flows."""
        limits = await self._database.transact(CLIENT, lambda tx: find_drift(tx, mend=mend))
        flows = await self._database.transact(CLIENT, lambda tx: find_stuck(tx, mend=mend))
        return [*limits, *flows]

    async def counts(self) -> Sequence[TagCounts]:
        """How many unfinished jobs stand where, by tag."""
        return [TagCounts(*row) for row in await self._database.run(CLIENT, "count_jobs")]


def _job_state(row: Row) -> JobState:
    *columns, fraction, note, told_at = row
    told = None if fraction is None else JobProgress(fraction, note, told_at)
    fields = dict(zip(JobState.__struct_fields__, (*columns, told), strict=True))
    fields["args"] = _decoded(fields["args"])
    fields["result"] = _decoded(fields["result"])
    fields["error"] = None if fields["error"] is None else _decode_error(fields["error"])
    return JobState(**fields)


def _decoded(text: str | None) -> Any:  # noqa: ANN401 - JSON
    """The value of JSON text; the text itself when it holds what Python's JSON cannot."""
    if text is None:
        return None
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return text


def _worker_state(row: Row) -> WorkerState:
    return WorkerState(**dict(zip(WorkerState.__struct_fields__, row, strict=True)))
