"""Jobs that have ended without success, made ready once more: the same job, with another attempt.

Rule of this file: keys before jobs, limits last, as at every enqueue. A unique job whose key
another one holds by now stays as it is.
"""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import msgspec

from trioworker.errors import UsageError
from trioworker.model.job import NewJob, compact
from trioworker.model.options import NO_OPTIONS, JobOptions, Limit, options_of
from trioworker.model.state import Requeued
from trioworker.model.unique import Decision, Holder, decide, key_of
from trioworker.store.postgres.database import Row, Transaction
from trioworker.store.postgres.limits import limits_said, settle_limits
from trioworker.store.postgres.unique import ask_holders, lock_keys, take_keys

NOTHING_UNIQUE: Final = Decision((), {}, {}, {})


async def requeue(tx: Transaction, ids: Sequence[UUID]) -> Requeued:
    """Make those of the jobs ready that failed or were canceled, and tell the workers."""
    hooked = [_new(row) for row in await tx.run("hooked_jobs", ids)]
    keys = await _settle_keys(tx, [job for job in hooked if job.options.unique is not None])
    rows = await tx.run("requeue_jobs", [id_ for id_ in ids if id_ not in keys.first])
    again = [row[0] for row in rows]
    await take_keys(tx, {key: held for key, held in keys.held.items() if held.job in again})
    if tags := sorted({row[1] for row in rows}):
        await tx.run("notify_ready", tags)
    await settle_limits(tx, limits_said(job for job in hooked if job.id in again))
    return Requeued(again, keys.first)


async def _settle_keys(tx: Transaction, jobs: Sequence[NewJob]) -> Decision:
    """Lock the keys of `jobs`, which have ended, and decide which of them may have theirs again."""
    keys = {job.id: key for job in jobs if (key := key_of(job)) is not None}
    if not keys:
        return NOTHING_UNIQUE
    await lock_keys(tx, jobs)
    _, holders, now = await ask_holders(tx, keys)
    others = {key: Holder() if held.job in keys else held for key, held in holders.items()}
    return decide(jobs, known=frozenset(), holders=others, now=now)


class _Limited(msgspec.Struct):
    limit: Limit | None = None


_decode_limited = msgspec.json.Decoder(_Limited).decode


def _limit_alone(stored: str) -> JobOptions:
    """Of options that cannot be used, the limit: the job waits for a slot to fail in, too."""
    try:
        return JobOptions(limit=_decode_limited(stored).limit)
    except (msgspec.ValidationError, UsageError):
        return NO_OPTIONS


def _new(row: Row) -> NewJob:
    """The job, as far as its key and its limit depend on it. It replaces no other."""
    id_, kind, path, args, tag, priority, raw_options, *_ = row
    options, problem = options_of(raw_options)
    if problem is not None:
        options = _limit_alone(raw_options)
    if options.unique is not None:
        unique = msgspec.structs.replace(options.unique, on_conflict="keep")
        options = msgspec.structs.replace(options, unique=unique)
    if options.unique is None and options.limit is None:
        options = NO_OPTIONS
    return NewJob(
        id=id_,
        kind=kind,
        path=path,
        args=compact(args),
        tag=tag,
        priority=priority,
        options=options,
    )
