"""Breaches of what is promised of flows and approvals, each as small as can be."""

from collections.abc import Callable
from typing import Final

import msgspec

from sim.database.rows import DecisionRow, FlowRow, FlowStateRow, JobRow, ReadyRow, WaitingRow
from sim.handmade import CLIENT, A, B, Handmade, job
from sim.oracles import Oracle
from sim.oracles.approvals import Decided
from sim.oracles.flows import NothingStuck, StepByStep
from sim.oracles.kept import KeptTogether
from trioworker.model.flow_state import Body, FlowState, encode, ref_of

DEFINITION: Final = '{"steps": [{"id": "a", "type": "noop"}]}'
STEP: Final = f'{{"step": {{"flow": "{job(1)}", "root": "{job(1)}", "at": "a"}}}}'


def defined(made: Handmade) -> None:
    """There is a flow of one step, and a worker."""
    made.begin()
    row = FlowRow(path="f", version=1, definition=DEFINITION, created_at=made.clock)
    made.commit(CLIENT, (None, row))


def begun(made: Handmade) -> None:
    """A flow of one step has begun, and its step is ready."""
    defined(made)
    made.enqueue(1, kind="flow", path="f")
    made.pull(1)
    under_way = flow_row(made)
    step = JobRow(
        id=job(2), kind="noop", path="f/a", args="{}", tag="t", priority=0, options=STEP,
        awaited=False, created_at=made.clock, created_by="", parent=job(1),
    )  # fmt: skip
    ready = ReadyRow(id=job(2), tag="t", priority=0, scheduled_for=made.clock)
    made.jobs[step.id], made.ready[ready.id] = step, ready
    made.commit(A, *made.leave(1), (None, under_way), (None, step), (None, ready))


def flow_row(made: Handmade) -> FlowStateRow:
    """How far that flow is."""
    state = encode(FlowState(Body(node=ref_of(job(2))))).decode()
    return FlowStateRow(
        id=job(1), root=job(1), path="f", version=1, state=state, attempt=1, reaped=0,
        began_at=made.clock,
    )  # fmt: skip


def not_moved(made: Handmade) -> None:
    """The only step of a flow ends, and nothing becomes of the flow."""
    begun(made)
    made.pull(2)
    made.store(2)


def elsewhere(made: Handmade) -> None:
    """A step is run by another worker than the one that its flow keeps to."""
    begun(made)
    row = flow_row(made)
    made.commit(A, (row, msgspec.structs.replace(row, worker=A)))
    made.begin(B)
    made.pull(2, worker=B)
    made.start(2, worker=B)


def asked(made: Handmade) -> WaitingRow:
    """An approval waits."""
    approval = JobRow(
        id=job(1), kind="approval", path="f/ask", args="{}", tag="t", priority=0,
        options='{"approval": {}}', awaited=False, created_at=made.clock, created_by="",
    )  # fmt: skip
    waiting = WaitingRow(
        id=job(1), reason="approval", until=None, attempt=1, reaped=0, since=made.clock
    )
    made.commit(CLIENT, (None, approval), (None, waiting))
    return waiting


def unheard(made: Handmade) -> None:
    """An approval goes on waiting although somebody has approved."""
    asked(made)
    said = DecisionRow(job=job(1), by="ann", approved=True, form="{}", decided_at=made.clock)
    made.commit(CLIENT, (None, said))


FLOW_BREACHES: Final[dict[type[Oracle], Callable[[Handmade], None]]] = {
    StepByStep: not_moved,
    NothingStuck: not_moved,
    Decided: unheard,
    KeptTogether: elsewhere,
}
"""For each oracle the smallest trace that it must find something in."""
