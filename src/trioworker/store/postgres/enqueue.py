"""Jobs into the queue, inside a transaction that may do more: a client's, or a commit's."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple
from uuid import UUID

import msgspec

from trioworker.model.job import NewJob
from trioworker.model.options import NO_OPTIONS, JobOptions
from trioworker.store.postgres.database import Transaction
from trioworker.store.postgres.unique import end_replaced, settle_keys, take_keys


class Enqueued(NamedTuple):
    """The ids that are new; and of jobs kept out, because another holds their key, that one's."""

    new: AbstractSet[UUID]
    first: Mapping[UUID, UUID]


async def enqueue(tx: Transaction, jobs: Sequence[NewJob]) -> AbstractSet[UUID]:
    """Make the jobs ready; the ids that are new. No id may come twice, and all `args` are UTF-8.

    A job whose key another one holds is kept out, or replaces that one; it never raises.
    """
    return (await place(tx, jobs)).new


async def place(tx: Transaction, jobs: Sequence[NewJob]) -> Enqueued:
    """The same as `enqueue`, and who holds the keys of those that are kept out."""
    if not any(map(_has_key, jobs)):
        return Enqueued(await _store(tx, jobs), {})
    decision = await settle_keys(tx, jobs)
    new = await _store(tx, decision.stored)
    if replaced := {old: by for old, by in decision.replaced.items() if old in new}:
        await end_replaced(tx, replaced)
    await take_keys(tx, {key: held for key, held in decision.held.items() if held.job in new})
    return Enqueued(new, decision.first)


def _has_key(job: NewJob) -> bool:
    options = job.options
    return options.unique is not None or options.debounce is not None


async def _store(tx: Transaction, jobs: Sequence[NewJob]) -> AbstractSet[UUID]:
    """In id order: two who enqueue the same jobs at once wait for each other, never crosswise."""
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
