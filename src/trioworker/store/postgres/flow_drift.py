"""Flows that stand still for ever: found, and canceled if somebody wants them mended.

Rule of this file: nothing that goes on is touched. What is found without locks is looked at once
more under them, for a flow that moved meanwhile is none of these.
"""

from collections.abc import Sequence
from typing import Final

from trioworker.model.state import Flaw
from trioworker.store.postgres.cancels import cancel_families
from trioworker.store.postgres.database import Transaction

STUCK_MAX: Final = 1_000
REASON: Final = "it stood still: what should have moved it is gone"


async def find_stuck(tx: Transaction, *, mend: bool) -> Sequence[Flaw]:
    """Flows that nothing will ever move, at most `STUCK_MAX`; canceled if they are to be mended."""
    rows = await tx.run("flow_drift", STUCK_MAX)
    if mend and rows:
        await tx.run("lock_flows_of", sorted({row[2] for row in rows}))
        rows = await tx.run("flow_drift", STUCK_MAX)
        gone = sorted({row[3] for row in rows})
        await cancel_families(tx, sorted({row[2] for row in rows}), REASON, gone=gone)
    return [Flaw(what, path, job) for what, path, job, _root in rows]
