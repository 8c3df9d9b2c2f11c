"""Rows that the end of a job stores of that job alone: its labels, when it is deleted, and so on.

Rule of this file: nobody else locks these rows, so whoever ends a job stores them when it likes.
"""

from trioworker.model.effects import Effects
from trioworker.store.postgres.database import Transaction


async def store_own_rows(tx: Transaction, effects: Effects) -> None:
    """Store them in the transaction that has ended the jobs."""
    if effects.labels is not None:
        await tx.run("store_labels", *effects.labels)
    if effects.preprocessed is not None:
        await tx.run("store_preprocessed", *effects.preprocessed)
    if effects.expiries is not None:
        await tx.run("store_expiries", *effects.expiries)
