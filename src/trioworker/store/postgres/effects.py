"""What else a commit stores: one statement for each sort of effect that a batch has.

Rule of this file: the order is fixed, so that two commits never wait for each other crosswise.
First come sorts that only write rows of the batch's own jobs; those that lock rows which other
jobs share come after, each in the order of its keys.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Final
from uuid import UUID

import msgspec

from trioworker.ids import derived_id
from trioworker.model.effects import Effects, effects_of
from trioworker.model.follow_ups import Ended, Origin, follow_ups, restarts
from trioworker.model.job import UNCLAIMED, Job, NewJob
from trioworker.model.options import options_of
from trioworker.model.outcome import Executed, Outcome
from trioworker.store.postgres.database import Row, Transaction
from trioworker.store.postgres.enqueue import enqueue
from trioworker.store.postgres.limits import limits_said, settle_limits
from trioworker.store.postgres.own_rows import store_own_rows
from trioworker.store.postgres.schedules import advance_schedules
from trioworker.store.postgres.users import run_user_statements

_UNKNOWN: Final = datetime(1970, 1, 1, tzinfo=UTC)


async def store_effects(tx: Transaction, worker: UUID | None, effects: Effects) -> None:
    """Store `effects` in the transaction that has stored their outcomes."""
    if effects.attempts is not None:
        await tx.run("store_attempts", worker, *effects.attempts)
    await store_own_rows(tx, effects)
    if effects.progress is not None:
        await tx.run("store_progress", *effects.progress)
    if effects.results is not None:
        await tx.run("store_results", *effects.results)
    ticks, failures = await advance_schedules(tx, effects.schedules)
    # Together, because they may lock the same keys.
    jobs = [*ticks, *await _follow_ups(tx, effects.ended, failures)]
    new = await enqueue(tx, jobs)
    # So late, because it locks what others want, too: keys that a job made here may be limited by.
    made = limits_said(job for job in jobs if job.id in new)
    await settle_limits(tx, made, left=effects.left_slots)
    # Last, because nobody here knows what they lock, or how long that takes.
    await run_user_statements(tx, effects.handed_over)


async def store_ends(
    tx: Transaction, outcomes: Mapping[UUID, Outcome], *, left: Mapping[UUID, bool]
) -> None:
    """Store what follows from the ends of jobs that no worker stores: given up, or cancelled.

    `left` says of each job with a slot whether it has run.
    """
    if not outcomes:
        return
    rows = await tx.run("hooked_jobs", list(outcomes))
    ends = [Executed(_unclaimed(row), outcomes[row[0]], 0.0, 0.0) for row in rows]
    effects = effects_of(ends, now_s=0.0)
    await store_effects(tx, None, msgspec.structs.replace(effects, left_slots=left))


async def _follow_ups(
    tx: Transaction, ends: Sequence[Ended], failures: Mapping[str, int]
) -> Sequence[NewJob]:
    if not ends:
        return ()
    origins: Mapping[UUID, Origin] = {}
    if again := restarts(ends):
        rows = await tx.run("job_origins", again)
        origins = {row[0]: Origin(*row[1:]) for row in rows}
    now: datetime = (await tx.run("clock"))[0][0]
    id_of = partial(derived_id, now)
    return follow_ups(ends, now=now, failures=failures, origins=origins, id_of=id_of)


def _unclaimed(row: Row) -> Job:
    """A job that no worker holds, as far as what follows from its end depends on it."""
    id_, kind, path, args, tag, priority, options, awaited, attempt, reaped = row
    return Job(
        id_, UNCLAIMED, attempt, reaped, kind, path, args, tag, priority, _UNKNOWN, awaited,
        *options_of(options),
    )  # fmt: skip
