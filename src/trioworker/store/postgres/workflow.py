"""What running functions ask of the database: their children, the ends of these, and their steps.

Rule of this file: what is written for an attempt is fenced by the claim that holds it, which is
locked first. A parent that has ended otherwise than by success leaves no child running: its row in
`parent` outlives it until that has been seen to, by its worker at once or by a sweep.
"""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

import msgspec

from trioworker.errors import Refused
from trioworker.model.job import Job, NewJob
from trioworker.model.outcome import JobError
from trioworker.model.workflow import (
    ChildEnd,
    Children,
    ParentColumns,
    Placed,
    Step,
    held,
    parent_columns,
)
from trioworker.store.postgres.cancels import cancel_families
from trioworker.store.postgres.database import Database, Row, Transaction
from trioworker.store.postgres.enqueue import place
from trioworker.store.postgres.limits import limits_said, settle_limits
from trioworker.store.postgres.requeue import requeue

PARENTS_PER_SWEEP_MAX: Final = 100
HINT_EVERY_S: Final = 0.005
"""As for clients: a worker that a hint woke looks once more after this long."""
LEFT_BEHIND: Final = "the job that enqueued it ended without success"

_decode_error = msgspec.json.Decoder(JobError).decode


class PostgresWorkflow:
    """A `WorkflowStore` over the lane `running`; sweeps go by the lane `control`."""

    def __init__(
        self, database: Database, *, running: str, control: str, now_s: Callable[[], float]
    ) -> None:
        self._database = database
        self._running = running
        self._control = control
        self._now_s = now_s
        self._hinted_s: dict[str, float] = {}

    async def now(self) -> datetime:
        """See `WorkflowStore.now`."""
        now: datetime = (await self._database.run(self._running, "clock"))[0][0]
        return now

    async def enqueue(self, worker: UUID, children: Sequence[Children]) -> Placed:
        """See `WorkflowStore.enqueue`."""
        now_s = self._now_s()
        self._hinted_s = {t: s for t, s in self._hinted_s.items() if now_s - s < HINT_EVERY_S}
        spared = frozenset(self._hinted_s)
        parents = parent_columns([one.parent for one in children])

        async def body(tx: Transaction) -> tuple[_Stored, AbstractSet[str]]:
            rows = await tx.run("hold_parents", worker, *parents, jobs=len(parents.ids))
            mine = {row[0] for row in rows}
            stored = await _stored(tx, [one for one in children if one.parent.id in mine])
            tags = {job.tag for job in stored.new} - spared
            if tags:
                await tx.run("notify_ready", sorted(tags))
            return stored, tags

        stored, hinted = await self._database.transact(self._running, body)
        self._hinted_s.update(dict.fromkeys(hinted, now_s))
        if stored.again:
            await self._run_again(worker, parents, stored.again)
        lost = {one.parent.id for one in children} - stored.parents
        return Placed(lost, stored.first, stored.strange)

    async def _run_again(self, worker: UUID, parents: ParentColumns, again: Sequence[UUID]) -> None:
        """Make failed children ready once more: in a transaction of its own, for it locks as much.

        Should it not come to that, the next enqueue of the same children finds them failed as ever.
        """

        async def body(tx: Transaction) -> None:
            if len(await tx.run("hold_parents", worker, *parents)) == len(parents.ids):
                await requeue(tx, again)

        await self._database.transact(self._running, body)

    async def ends(self, worker: UUID, ids: Sequence[UUID]) -> Mapping[UUID, ChildEnd]:
        """See `WorkflowStore.ends`."""
        del worker
        rows = await self._database.run(self._running, "child_ends", ids)
        return {
            row[0]: ChildEnd(row[1], row[2], None if row[3] is None else _decode_error(row[3]))
            for row in rows
        }

    async def own_children(self, worker: UUID, ids: Sequence[UUID]) -> Sequence[UUID]:
        """See `WorkflowStore.own_children`."""
        rows = await self._database.run(self._running, "own_children", worker, ids)
        return [row[0] for row in rows]

    async def steps(self, worker: UUID, job: Job) -> Mapping[str, str]:
        """See `WorkflowStore.steps`."""
        del worker
        rows = await self._database.run(self._running, "job_steps", job.id)
        return {row[0]: row[1] for row in rows}

    async def store_steps(self, worker: UUID, steps: Sequence[Step]) -> AbstractSet[UUID]:
        """See `WorkflowStore.store_steps`."""
        jobs = [step.job for step in steps]
        names, results = [step.name for step in steps], [step.result for step in steps]
        rows = await self._database.run(
            self._running, "store_steps", worker, *held(jobs), names, results, jobs=len(steps)
        )
        return {row[0] for row in rows}

    async def end_parents(self) -> bool:
        """See `WorkflowStore.end_parents`."""

        async def body(tx: Transaction) -> int:
            rows = await tx.run("ended_parents", PARENTS_PER_SWEEP_MAX)
            failed = [row[0] for row in rows if row[1]]
            more = bool(failed) and (await cancel_families(tx, failed, LEFT_BEHIND)).more
            over = [row[0] for row in rows if not (more and row[1])]
            if over:
                await tx.run("forget_parents", over)
            return len(over)

        return await self._database.transact(self._control, body) >= PARENTS_PER_SWEEP_MAX


class _Stored(NamedTuple):
    """What a transaction has made of children: `again` are those that a later try may run again."""

    parents: AbstractSet[UUID]
    new: Sequence[NewJob]
    first: Mapping[UUID, UUID]
    strange: AbstractSet[UUID]
    again: Sequence[UUID]


async def _stored(tx: Transaction, children: Sequence[Children]) -> _Stored:
    parents = {one.parent.id for one in children}
    jobs = list({job.id: job for one in children for job in one.jobs}.values())
    if not jobs:
        return _Stored(parents, (), {}, frozenset(), ())
    args = {job.id: _text(job.args) for job in jobs}
    enqueued = await place(tx, jobs)
    new = [job for job in jobs if job.id in enqueued.new]
    known = [job for job in jobs if job.id not in enqueued.new and job.id not in enqueued.first]
    rows: Sequence[Row] = ()
    if known:
        columns = zip(*((j.id, j.parent, j.kind, j.path, args[j.id]) for j in known), strict=True)
        rows = await tx.run("known_children", *map(list, columns))
    await settle_limits(tx, limits_said(new))
    strange = {id_ for id_, same, _ in rows if not same}
    again = [id_ for id_, same, again in rows if same and again]
    return _Stored(parents, new, enqueued.first, strange, again)


def _text(args: bytes) -> str:
    try:
        return args.decode()
    except UnicodeDecodeError as error:
        raise Refused(f"arguments are not UTF-8: {error}") from error
