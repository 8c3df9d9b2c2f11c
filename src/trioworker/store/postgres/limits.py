"""Slots of concurrency keys: taken and given back inside the transactions that move limited jobs.

Rule of this file: a key is locked before its slots are counted, and the count is a later statement,
so that it sees what was committed during the wait. All keys of a transaction are locked in one
statement, in their order, after everything else that the transaction locks; whoever holds a key
waits for nothing any more. So no two transactions wait for each other crosswise.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from trioworker.model.job import NewJob
from trioworker.model.options import Limit
from trioworker.store.postgres.database import Transaction


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
