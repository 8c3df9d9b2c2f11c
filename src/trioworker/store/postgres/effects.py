"""What else a commit stores: one statement for each sort of effect that a batch has.

Rule of this file: the order is fixed, so that two commits never wait for each other crosswise.
First come sorts that only insert rows of the batch's own jobs; those that lock rows which other
jobs share come after, each in the order of its keys.
"""

from uuid import UUID

from trioworker.model.effects import Effects
from trioworker.store.postgres.database import Transaction
from trioworker.store.postgres.limits import settle_limits


async def store_effects(tx: Transaction, worker: UUID | None, effects: Effects) -> None:
    """Store `effects` in the transaction that has stored their outcomes."""
    if effects.attempts is not None:
        await tx.run("store_attempts", worker, *effects.attempts)
    # Last, because it locks what others want, too: keys that a job enqueued here may be limited by.
    await settle_limits(tx, left=effects.left_slots)
