"""Jobs into the queue, inside a transaction that may do more: a client's, or a commit's."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from uuid import UUID

import msgspec

from trioworker.model.job import NewJob
from trioworker.model.options import NO_OPTIONS, JobOptions
from trioworker.store.postgres.database import Transaction


async def enqueue(tx: Transaction, jobs: Sequence[NewJob]) -> AbstractSet[UUID]:
    """Make the jobs ready; the ids that are new. No id may come twice, and all `args` are UTF-8.

    In id order: two who enqueue the same jobs at once wait for each other, never crosswise.
    """
    if not jobs:
        return frozenset()
    columns = columns_of(sorted(jobs, key=lambda job: job.id))
    return {row[0] for row in await tx.run("enqueue", *columns)}


def columns_of(jobs: Sequence[NewJob]) -> Sequence[Sequence[object]]:
    """The jobs as the columns of the statement `enqueue`, which see."""
    return (
        [job.id for job in jobs],
        [job.kind for job in jobs],
        [job.path for job in jobs],
        [job.args.decode() for job in jobs],
        [job.tag for job in jobs],
        [job.priority for job in jobs],
        [job.scheduled_for for job in jobs],
        [_options(job.options) for job in jobs],
        [job.awaited for job in jobs],
        [job.created_by for job in jobs],
        [job.parent for job in jobs],
    )


def _options(options: JobOptions) -> str | None:
    return None if options == NO_OPTIONS else msgspec.json.encode(options).decode()
