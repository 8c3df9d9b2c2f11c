"""Flows whose steps share one worker, when that is gone: they fail, or are begun anew, as a whole.

Rule of this file: nothing is done to a flow while a step of it stands in a claim. The outermost
flows are locked first, as by whoever moves a flow, and all is looked at again under their locks.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

import msgspec

from trioworker.model.completion import error_json
from trioworker.model.flow_advance import unfinished
from trioworker.model.flow_state import decode
from trioworker.model.options import options_of
from trioworker.model.outcome import Executed, Failed, JobError
from trioworker.store.postgres.database import Row, Transaction
from trioworker.store.postgres.effects import store_moved, unclaimed
from trioworker.store.postgres.flows import STRANDED, Mover, Over
from trioworker.store.postgres.telling import tell_waiters

LOST_FLOWS_PER_SWEEP_MAX: Final = 100
FLOW_LOST: Final = Failed(
    JobError("WorkerLost", "the worker that ran all steps of this flow is lost")
)


class LostFlows(NamedTuple):
    """The flows that a sweep has made ready again, and those that it has ended."""

    again: Sequence[UUID]
    failed: Sequence[UUID]


class _Lost(NamedTuple):
    """A flow under way, `shared` the one that has its steps share a worker: itself, or around it.

    `steps` are those that have not ended. `counts` says that the worker was lost, and did not stop.
    """

    id: UUID
    shared: UUID
    steps: AbstractSet[UUID]
    attempt: int
    reaped: int
    begins_anew: bool
    counts: bool

    def over(self, outcome: Failed) -> Over:
        """That it has ended like this."""
        return Over(outcome, self.attempt, self.reaped)


async def end_lost_flows(
    tx: Transaction, lost: Sequence[tuple[UUID, UUID]], *, reaped_max: int
) -> LostFlows:
    """End the flows that are `lost`, or let them begin anew.

    They are told by the outermost one and by the worker that is gone. One that has lost more than
    `reaped_max` workers ends in any case.
    """
    roots, workers = sorted({root for root, _ in lost}), sorted({worker for _, worker in lost})
    locked = {row[0] for row in await tx.run("lock_flows", roots)}
    flows = [_lost(row) for row in await tx.run("read_lost_flows", sorted(locked), workers)]
    ends, left = await _end_steps(tx, flows)
    flows = [flow for flow in flows if flow.shared not in left]
    anew = [flow for flow in flows if _begins_anew(flow, reaped_max)]
    again = {flow.id for flow in anew}
    if anew:
        await tx.run("restart_flows", [flow.id for flow in anew], [flow.counts for flow in anew])
    now: datetime = (await tx.run("clock"))[0][0]
    mover = Mover(tx, None, now, 0.0)
    if inner := {flow.id: flow.over(STRANDED) for flow in flows if flow.id != flow.shared}:
        await mover.end(inner)
    over = {f.id: f.over(FLOW_LOST) for f in flows if f.id == f.shared and f.id not in again}
    moved = await mover.end_all(over, locked)
    await store_moved(tx, ends, moved, left={end.job.id: False for end in ends})
    return LostFlows(sorted(again), sorted(over))


async def _end_steps(
    tx: Transaction, flows: Sequence[_Lost]
) -> tuple[Sequence[Executed], AbstractSet[UUID]]:
    """End all steps that stand somewhere; and the flows that have some in hands after all."""
    steps = {step for flow in flows for step in flow.steps}
    wanted = sorted(steps - {flow.id for flow in flows})
    if not wanted:
        return (), frozenset()
    rows = await tx.run("end_stranded", wanted, error_json(STRANDED.error))
    await tell_waiters(tx, [(row[0], row[1]) for row in rows])
    ended = {row[0] for row in await tx.run("ended_steps", wanted)}
    left = {flow.shared for flow in flows if not flow.steps.isdisjoint(set(wanted) - ended)}
    if not rows:
        return (), left
    jobs = [unclaimed(row) for row in await tx.run("hooked_jobs", [row[0] for row in rows])]
    return [Executed(job, STRANDED, 0.0, 0.0) for job in jobs], left


def _begins_anew(flow: _Lost, reaped_max: int) -> bool:
    if flow.id != flow.shared or not flow.begins_anew:
        return False
    return not flow.counts or flow.reaped < reaped_max


def _lost(row: Row) -> _Lost:
    id_, state, attempt, reaped, options, begins_anew, counts = row
    step = options_of(options)[0].step
    shared = id_ if step is None or step.shared is None else step.shared
    try:
        steps = frozenset(unfinished(decode(state)))
    except (msgspec.DecodeError, ValueError):
        steps = frozenset()  # nobody knows them, and it ends all the same
    return _Lost(id_, shared, steps, attempt, reaped, begins_anew, counts)
