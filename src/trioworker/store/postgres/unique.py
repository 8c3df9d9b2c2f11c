"""Keys of unique and debounced jobs: who gets one, inside the transaction that enqueues.

Rule of this file: the keys of an enqueue are locked in one statement, in their order, before
anything else of it; what holds them is asked in a later one, which sees what was committed during
the wait. Whoever holds a key waits for the rows of jobs that are to be replaced and for the keys of
limits, never the other way round.
"""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from trioworker.model.effects import effects_of_replaced
from trioworker.model.job import NewJob
from trioworker.model.options import options_of
from trioworker.model.unique import Decision, Holder, Key, decide, key_of
from trioworker.store.postgres.database import Transaction
from trioworker.store.postgres.own_rows import store_own_rows
from trioworker.store.postgres.telling import tell_waiters

LOOK_AFTER_S: Final = 60.0
"""A sweep leaves a key alone for this long after somebody took it, or was seen to hold it."""


class Asked(NamedTuple):
    """Which of the jobs are stored already, and who took their keys last."""

    known: AbstractSet[UUID]
    holders: Mapping[Key, Holder]
    now: datetime


async def settle_keys(tx: Transaction, jobs: Sequence[NewJob]) -> Decision:
    """Lock the keys of `jobs`, and end the jobs in whose places others come; what is left to store.

    Jobs of this very enqueue that are replaced are not ended: they are not stored yet.
    """
    keys = {job.id: key for job in jobs if (key := key_of(job)) is not None}
    await lock_keys(tx, jobs)
    ended: dict[UUID, UUID] = {}
    while True:
        decision = await _decide(tx, jobs, keys, ended)
        others = decision.replaced.keys() - {job.id for job in decision.stored} - ended.keys()
        before = {old: decision.replaced[old] for old in sorted(others)}
        if not before:
            return decision
        taken = await end_replaced(tx, before)
        ended |= {old: before[old] for old in taken}
        if len(taken) == len(before):
            return decision
        # Somebody has claimed or ended one of them in the meantime: that one's key is judged anew.


async def lock_keys(tx: Transaction, jobs: Iterable[NewJob]) -> None:
    """Lock the keys of the jobs, if they have any."""
    wanted = sorted({key for job in jobs if (key := key_of(job)) is not None})
    if wanted:
        await tx.run("lock_keys", *zip(*wanted, strict=True))


async def end_replaced(tx: Transaction, replaced: Mapping[UUID, UUID]) -> Sequence[UUID]:
    """End those of the jobs that no worker holds, each replaced by another; the ids."""
    rows = await tx.run("replace_jobs", list(replaced), list(replaced.values()))
    asked = {row[0]: options_of(row[2])[0] for row in rows}
    await store_own_rows(tx, effects_of_replaced(asked))
    await tell_waiters(tx, [(row[0], row[1]) for row in rows])
    return [row[0] for row in rows]


async def take_keys(tx: Transaction, held: Mapping[Key, Holder]) -> None:
    """Note who holds the keys from now on."""
    if not held:
        return
    rows = [
        (sort, text, holder.job, holder.during, holder.until, holder.first_at)
        for (sort, text), holder in held.items()
    ]
    await tx.run("take_keys", *zip(*rows, strict=True), LOOK_AFTER_S)


async def forget_keys(tx: Transaction, limit: int) -> int:
    """Delete keys that nothing holds, of up to `limit` that are due; how many were due."""
    due = [Key(*row) for row in await tx.run("due_keys", limit)]
    if due:
        asked = await ask_holders(tx, {UUID(int=number): key for number, key in enumerate(due)})
        held = [asked.holders[key].holds(asked.now) for key in due]
        await tx.run("forget_keys", *zip(*due, strict=True), held, LOOK_AFTER_S)
    return len(due)


async def ask_holders(tx: Transaction, keys: Mapping[UUID, Key]) -> Asked:
    """Who took the `keys` of jobs last, which are locked, and where they stand."""
    rows = await tx.run("key_holders", list(keys), *zip(*keys.values(), strict=True))
    return Asked(
        known={id_ for id_, row in zip(keys, rows, strict=True) if row[0]},
        holders={key: Holder(*row[1:-1]) for key, row in zip(keys.values(), rows, strict=True)},
        now=rows[0][-1],
    )


async def _decide(
    tx: Transaction, jobs: Sequence[NewJob], keys: Mapping[UUID, Key], ended: Mapping[UUID, UUID]
) -> Decision:
    """Whom this transaction has `ended` still counts as replaceable."""
    known, holders, now = await ask_holders(tx, keys)
    holders = {
        key: holder._replace(standing="queued") if holder.job in ended else holder
        for key, holder in holders.items()
    }
    return decide(jobs, known=known, holders=holders, now=now)
