"""Who waits for jobs is told that they have ended, by whatever transaction ends them."""

from collections.abc import Iterable
from uuid import UUID

from trioworker.store.postgres.database import Transaction


async def tell_waiters(tx: Transaction, ended: Iterable[tuple[UUID, bool]]) -> None:
    """Tell of those of the jobs that somebody waits for, as is said beside the id of each."""
    if awaited := [job for job, is_awaited in ended if is_awaited]:
        await tx.run("notify_done", awaited)
