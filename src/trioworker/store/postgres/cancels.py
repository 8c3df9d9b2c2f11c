"""Jobs that are to be canceled, and all that are below them, inside a transaction that may do more.

Rule of this file: what no worker holds ends here and now; workers of all else are told. Flows are
locked first, and the family is looked at again under their locks: what steps have led to in the
meantime belongs to it, too.
"""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from trioworker.model.outcome import Cancelled
from trioworker.model.state import Cancellation
from trioworker.store.postgres.database import Transaction
from trioworker.store.postgres.effects import store_ends
from trioworker.store.postgres.schedules import lock_next_ticks
from trioworker.store.postgres.telling import tell_waiters

CHILDREN_MAX: Final = 10_000
"""So many jobs are cancelled at most because another one is."""


async def cancel_families(
    tx: Transaction, wanted: Sequence[UUID], reason: str, *, gone: Sequence[UUID] = ()
) -> Cancellation:
    """Cancel the jobs, each of which comes once, and those below them.

    `gone` are outermost flows that are there no more: nobody can lock them, and moves what is left.
    """
    most = len(wanted) + CHILDREN_MAX
    found = await tx.run("family", wanted, most + 1)
    outermost = [row[0] for row in await tx.run("lock_flows_of", [row[0] for row in found])]
    if outermost:
        found = await tx.run("family", wanted, most + 1)
    family, more = [row[0] for row in found[:most]], len(found) > most
    await lock_next_ticks(tx, {row[1] for row in found[:most] if row[1] is not None})
    ended = await tx.run("cancel_unstarted", family, reason, [*outermost, *gone])
    # A statement of its own sees what a pull has claimed while the first one waited for it. A flow
    # that has begun in the meantime is asked for, too, and a sweep cancels it.
    asked = await tx.run("request_cancel", family, reason)
    canceled = {row[0]: Cancelled(reason) for row in ended}
    await store_ends(tx, canceled, left=dict.fromkeys(canceled, False))
    await tell_waiters(tx, [(row[0], row[1]) for row in ended])
    return Cancellation([row[0] for row in ended], [row[0] for row in asked], more)


async def cancel_late(tx: Transaction, *, limit: int) -> bool:
    """Cancel up to `limit` jobs that are to be and that no worker holds; whether there may be more.

    Those of one reason, in the transaction that has found them: who runs a job once more takes the
    request away. When nothing could be ended, as of a flow whose outermost is gone, that is all.
    """
    late = await tx.run("late_cancels", limit)
    if not late:
        return False
    reason = late[0][1]
    found = await cancel_families(tx, [row[0] for row in late if row[1] == reason], reason)
    return len(late) == limit and bool(found.ended)
