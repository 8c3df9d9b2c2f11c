"""Slots of concurrency keys: taken and given back inside the transactions that move limited jobs.

Rule of this file: a key is locked before its slots are counted, and the count is a later statement,
so that it sees what was committed during the wait. All keys of a transaction are locked in one
statement, in their order, after everything else that the transaction locks; whoever holds a key
waits for nothing any more. So no two transactions wait for each other crosswise.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from trioworker.model.job import NewJob
from trioworker.model.options import Limit
from trioworker.model.state import Flaw
from trioworker.store.postgres.database import Transaction

DRIFT_MAX: Final = 1_000
NO_JOB: Final = "a slot that no job holds"
NO_SLOT: Final = "a job that may run without a slot"
NO_LIMIT: Final = "a key whose limit is not known"
"""What the statement `limit_drift` calls what it finds."""


class LimitSaid(NamedTuple):
    """A key whose slots are to be counted; without `slots` its limit is what is known of it.

    `said_at` is when the limit was said, None for now.
    """

    key: str
    slots: int | None = None
    window_s: float | None = None
    said_at: datetime | None = None


def limits_said(jobs: Iterable[NewJob]) -> Sequence[LimitSaid]:
    """The limits of new jobs, one for each key: the last of them is the one that counts."""
    said: dict[str, Limit] = {}
    for job in jobs:
        if (limit := job.options.limit) is not None:
            said[limit.key or job.path] = limit
    return [LimitSaid(key, limit.slots, limit.window_s) for key, limit in said.items()]


async def settle_limits(
    tx: Transaction, said: Sequence[LimitSaid] = (), *, left: Mapping[UUID, bool] | None = None
) -> int:
    """Free the slots of the jobs that `left` theirs, and let in whoever is next.

    `left` says of each job whether it has run; jobs without a slot do no harm. Those of them that
    this transaction has put into ready wait in line again. Returns how many jobs were let in. Must
    be the last in its transaction that locks anything.
    """
    left = left or {}
    if not (said or left):
        return 0
    ids = list(left)
    rows = await tx.run(
        "lock_limits",
        ids,
        [limit.key for limit in said],
        [limit.slots for limit in said],
        [limit.window_s for limit in said],
        [limit.said_at for limit in said],
    )
    if not rows:
        return 0
    keys = [row[0] for row in rows]
    if left:
        await tx.run("release_slots", ids, list(left.values()))
    promoted = await tx.run("promote", keys)
    await tx.run("plan_looks", keys)
    return len(promoted)


async def find_drift(tx: Transaction, *, mend: bool) -> Sequence[Flaw]:
    """What is wrong with slots, recounted, at most `DRIFT_MAX` things; mended if asked to."""
    rows = await tx.run("limit_drift", DRIFT_MAX)
    flaws = [Flaw(what, key, job) for what, key, job, _slots, _window_s in rows]
    if mend and flaws:
        leaked = [flaw.job for flaw in flaws if flaw.what == NO_JOB]
        await tx.run("release_slots", leaked, [False] * len(leaked))
        missing = [flaw for flaw in flaws if flaw.what == NO_SLOT]
        await tx.run("take_slots", [flaw.job for flaw in missing], [flaw.key for flaw in missing])
        said = [
            LimitSaid(flaw.key, *(row[3:] if flaw.what == NO_LIMIT else ()))
            for flaw, row in zip(flaws, rows, strict=True)
        ]
        await settle_limits(tx, said)
    return flaws
