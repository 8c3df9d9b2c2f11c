"""Jobs handed over to the worker whose commit has made them: claimed in that very transaction.

Rule of this file: a commit hands over no more jobs than it has taken out of the worker's hands, so
that a worker never holds more than it would without. What is left of them is ready, under the
worker's own tag, and is pulled.
"""

from collections.abc import Collection, Sequence
from uuid import UUID

from trioworker.ids import child_id
from trioworker.model.job import Job, NewJob
from trioworker.model.options import options_of
from trioworker.model.tags import own_tag
from trioworker.store.postgres.database import Row, Transaction


def own_jobs(worker: UUID | None, jobs: Sequence[NewJob]) -> Sequence[NewJob]:
    """Those of the jobs that only `worker` may run."""
    if worker is None:
        return ()
    tag = own_tag(worker)
    return [job for job in jobs if job.tag == tag]


async def hand_over(
    tx: Transaction, worker: UUID, jobs: Collection[UUID], *, room: int, now_s: float
) -> Sequence[Job]:
    """Claim the first of the `jobs` for `worker`, as many as there is room for.

    Those that are not due yet, or wait for something, stay where they are.
    """
    first = list(jobs)[:room]
    if not first:
        return ()
    claim = child_id(first[0], "claim")
    rows = await tx.run("hand_over", claim, worker, first, jobs=len(first))
    return [claimed(row, claim, now_s) for row in rows]


def claimed(row: Row, claim: UUID, now_s: float) -> Job:
    """The job that a row came for; it came at `now_s` by the worker's monotonic clock."""
    *columns, raw_options, awaited, seen_at = row
    id_, attempt, reaped, scheduled_for, tag, priority, kind, path, args = columns
    options, defect = options_of(raw_options)
    deadline_s = None
    if options.deadline is not None:
        deadline_s = now_s + (options.deadline - seen_at).total_seconds()
    return Job(
        id_, claim, attempt, reaped, kind, path, args, tag, priority, scheduled_for, awaited,
        options, defect, deadline_s,
    )  # fmt: skip
