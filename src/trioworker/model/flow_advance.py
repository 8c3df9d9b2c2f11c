"""How a flow begins, goes on and ends: its state and the ends of its steps become the next of both.

    what has happened                 what follows
    --------------------------------  ------------------------------------------------------------
    a step has ended                  as `flow_machine.py` says
    a step has failed, and nothing    no step is begun any more; when none runs, the failure step is
    around it tolerates that          run, if there is one, and then the flow has failed
    a step was canceled               the same, but without the failure step: the flow is canceled
    the failure step has ended        the flow has failed with the error of the step that did, or
                                      has succeeded if what it returned has "recover": true

Rule of this file: pure, and the same for ends that come one by one or together, in whatever order.
An end names the place of its step and its job, and that job stands there until it has ended: what
fits nowhere is of one that has ended before, and is ignored.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from trioworker.model.flow import Flow
from trioworker.model.flow_run import Advanced, End, FlowRun, IdOf, StepEnd
from trioworker.model.flow_scope import Missing, Results
from trioworker.model.flow_state import Body, FlowState, copy, job_of, running
from trioworker.model.flow_walk import Walk

__all__ = [
    "Advanced",
    "End",
    "FlowRun",
    "IdOf",
    "Missing",
    "StepEnd",
    "advance",
    "begin",
    "early_result",
    "unfinished",
]


def begin(
    run: FlowRun, *, now: datetime, id_of: IdOf, known: Mapping[UUID, bytes | None]
) -> Advanced:
    """Begin a run; `now` is the database's clock.

    Raises `Missing` with the results that must be read before; the same call is made again then,
    with those in `known`, None for a job that has none.
    """
    walk = Walk(run, FlowState(Body()), now, id_of, known)
    walk.begin()
    return walk.advanced()


def advance(
    run: FlowRun,
    ends: Sequence[StepEnd],
    *,
    now: datetime,
    id_of: IdOf,
    known: Mapping[UUID, bytes | None],
) -> Advanced:
    """Let a run go on from the ends of some of its steps, as `begin`.

    Ends that do not fit the state are ignored. Neither the run's state nor anything else is
    changed.
    """
    assert run.state is not None, f"flow {run.id} has not begun"
    walk = Walk(run, copy(run.state), now, id_of, known)
    # What has failed comes first, so that nothing is begun which it stops.
    for end in sorted(ends, key=lambda end: end.status in {"success", "skipped"}):
        walk.end(end)
    return walk.advanced()


def unfinished(state: FlowState) -> Iterator[UUID]:
    """The jobs of steps that have not ended."""
    return map(job_of, running(state))


def early_result(flow: Flow, state: FlowState, known: Mapping[UUID, bytes | None]) -> bytes | None:
    """The result of the flow, if it `returns` that of a step which has ended; else None.

    Raises `Missing` as `begin`.
    """
    if flow.returns is None or flow.returns not in state.body.done:
        return None
    return Results(known).raw(state.body.done[flow.returns])
