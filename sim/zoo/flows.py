"""Mutants of flows: ends that are counted twice, lost on the way, or stored by themselves."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final
from uuid import UUID

from sim.database.models import Rows, Statement, all_models
from sim.database.transaction import Transaction as Modelled
from sim.flowing import DYING, UNHEARD
from sim.oracles.approvals import Decided
from sim.oracles.flows import NothingStuck, StepByStep
from sim.oracles.follow_ups import Followed
from sim.oracles.kept import KeptTogether
from sim.plan import Plan, Sizes
from sim.replace import replaced
from sim.zoo.mutant import mutant, statement
from trioworker.model.effects import effects_of
from trioworker.model.flow_advance import advance
from trioworker.model.flow_run import Advanced, FlowRun
from trioworker.model.job import NewJob
from trioworker.model.outcome import Begun, Executed, Failed, JobError
from trioworker.store.postgres import approvals, effects, flows
from trioworker.store.postgres.database import Transaction
from trioworker.store.postgres.flows import Moved, move_flows

_CROWD: Final = Plan(
    seed=0,
    sizes=Sizes(workers=4, jobs=2, pull=2, commit=2, concurrency=2),
    flows=("wide", "parallel", "wide", "parallel", "branches"),
    chaos_s=4.0,
)
"""Four workers, each with a few steps of the same flows."""
_NESTED: Final = Plan(
    seed=0,
    sizes=Sizes(workers=2, jobs=2, pull=20, commit=20, concurrency=20),
    flows=("deep", "nested", "sequence", "serial"),
    chaos_s=4.0,
    told=1.0,
)
"""Flows in flows, and all that is to be told of their ends."""
_ASKING: Final = Plan(
    seed=0, sizes=Sizes(jobs=2), flows=("approved", "two of them") * 4, chaos_s=4.0
)
"""Flows that wait for people."""
_FAILING: Final = Plan(
    seed=0, sizes=Sizes(jobs=2), flows=("failing", UNHEARD, "tolerant", "branches"), chaos_s=4.0
)
"""Flows whose steps fail while others run."""
_DYING: Final = Plan(
    seed=0,
    sizes=Sizes(workers=2, jobs=2, lease_s=1.5, heartbeat_s=0.5, reaped_max=1, sweep_s=0.5),
    flows=(DYING,),
    chaos_s=12.0,
)
"""A step that kills its workers until it is given up."""
_TOGETHER: Final = Plan(
    seed=0,
    sizes=Sizes(workers=4, jobs=2, pull=2, commit=2, concurrency=2),
    flows=("together",) * 4,
    chaos_s=4.0,
)
"""Flows whose steps share a worker, and four of those."""
_CANCELLED: Final = Plan(
    seed=0,
    sizes=Sizes(workers=4, jobs=2, pull=2, commit=2, concurrency=2),
    flows=("serial", "sequence", "wide", "deep") * 5,
    flows_cancelled=20,
    chaos_s=4.0,
)
"""Flows that are cancelled while they are under way."""


@mutant("flow not locked", caught_by=StepByStep, plan=_CROWD)
def flow_not_locked() -> Iterator[None]:
    """Who moves a flow reads its state and locks nothing: of two ends one is forgotten."""

    async def looks(s: Statement, ids: Sequence[UUID]) -> Rows:
        return [(id_,) for id_ in sorted(set(ids)) if s.find(s.tables.flow_state, id_)]

    with statement("lock_flows", looks):
        yield


@mutant("flow read before its lock", caught_by=StepByStep, plan=_CROWD)
def flow_read_before_its_lock() -> Iterator[None]:
    """Who waits for a flow goes on from the state that it had when the wait began."""
    lock, read = all_models()["lock_flows"], all_models()["read_flows"]
    before: dict[Modelled, Statement] = {}

    async def look_and_lock(s: Statement, ids: Sequence[UUID]) -> Rows:
        before[s._transaction] = s
        return await lock(s, ids)

    async def as_it_was(s: Statement, ids: Sequence[UUID]) -> Rows:
        return await read(before.get(s._transaction, s), ids)

    with statement("lock_flows", look_and_lock), statement("read_flows", as_it_was):
        yield


@mutant("one end in a batch", caught_by=StepByStep, plan=_NESTED)
def one_end_in_a_batch() -> Iterator[None]:
    """Of several steps of a flow that end in one batch the flow hears of the last one."""
    ends = flows._step_ends

    def last(batch: Iterable[Executed]) -> Any:  # noqa: ANN401 - as they are
        return {flow: of_one[-1:] for flow, of_one in ends(batch).items()}

    with replaced(flows, "_step_ends", last):
        yield


@mutant(
    "flow moved after its step",
    caught_by=StepByStep,
    seen_in="Windmill: a flow goes on after the commit of its step, in another transaction",
    plan=_CROWD,
)
def flow_moved_after_its_step() -> Iterator[None]:
    """The end of a step is stored, and its flow goes on in a transaction of its own, or never."""

    async def later(_tx: Transaction, _worker: UUID | None, batch: Any, **_: Any) -> Moved:  # noqa: ANN401 - as they are
        begun = [executed for executed in batch if type(executed.outcome) is Begun]
        return await move_flows(_tx, _worker, begun, **_)

    with replaced(effects, "move_flows", later):
        yield


@mutant("end of a nested flow kept", caught_by=StepByStep, plan=_NESTED)
def end_of_a_nested_flow_kept() -> Iterator[None]:
    """A flow that is a step of another ends, and the other one does not hear of it."""
    ends = flows._step_ends

    def of_jobs(batch: Iterable[Executed]) -> Any:  # noqa: ANN401 - as they are
        return ends([executed for executed in batch if executed.job.kind != "flow"])

    with replaced(flows, "_step_ends", of_jobs):
        yield


@mutant("results without what they were", caught_by=StepByStep, plan=_NESTED)
def results_without_what_they_were() -> Iterator[None]:
    """What an earlier step returned is null for those after it."""

    async def nothing(s: Statement, ids: Sequence[UUID]) -> Rows:
        return [(id_, status, None) for id_, status, _ in await ended(s, ids)]

    ended = all_models()["ended_steps"]
    with statement("ended_steps", nothing):
        yield


@mutant("end of a flow by itself", caught_by=Followed, plan=_NESTED)
def end_of_a_flow_by_itself() -> Iterator[None]:
    """A flow ends, and nothing follows from that: no handler, no label, nobody is told."""

    def of_jobs(batch: Iterable[Executed], **more: Any) -> Any:  # noqa: ANN401 - as they are
        jobs = [e for e in batch if e.job.kind != "flow" or type(e.outcome) is Begun]
        return effects_of(jobs, **more)

    with replaced(effects, "effects_of", of_jobs):
        yield


@mutant("fails while others run", caught_by=NothingStuck, plan=_FAILING)
def fails_while_others_run() -> Iterator[None]:
    """A flow ends with the first step that fails, whatever else of it runs."""

    def at_once(run: FlowRun, *ends: Any, **more: Any) -> Advanced:  # noqa: ANN401 - as they are
        advanced = advance(run, *ends, **more)
        if advanced.outcome is None and advanced.state.failed is not None:
            return Advanced(advanced.state, (), Failed(JobError("Failed", "a step failed")))
        return advanced

    with replaced(flows, "advance", at_once):
        yield


@mutant("lost step unheard", caught_by=StepByStep, plan=_DYING)
def lost_step_unheard() -> Iterator[None]:
    """A step that is given up, for its workers died, does not let its flow go on."""

    async def unless_lost(tx: Transaction, worker: UUID | None, *more: Any, **how: Any) -> Moved:  # noqa: ANN401 - as they are
        return Moved((), ()) if worker is None else await move_flows(tx, worker, *more, **how)

    with replaced(effects, "move_flows", unless_lost):
        yield


@mutant("decision without effect", caught_by=Decided, plan=_ASKING)
def decision_without_effect() -> Iterator[None]:
    """What somebody decides is noted, and its approval goes on waiting until its time is over."""
    end = approvals._end

    async def later(tx: Transaction, outcomes: Any) -> None:  # noqa: ANN401 - as they are
        if any("came within" in str(outcome) for outcome in outcomes.values()):
            await end(tx, outcomes)

    with replaced(approvals, "_end", later):
        yield


@mutant("two decide side by side", caught_by=Decided, plan=_ASKING)
def two_decide_side_by_side() -> Iterator[None]:
    """Who decides reads what others have said and locks nothing: each takes himself for alone."""
    read = all_models()["read_approval"]

    class Free:
        """A statement that locks nothing."""

        def __init__(self, statement: Statement) -> None:
            self._statement = statement

        def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever a statement has
            return getattr(self._statement, name)

        async def lock(self, table: Any, key: UUID, **_: object) -> object:  # noqa: ANN401 - any table
            return self._statement.find(table, key)

    async def nothing(_s: Statement, _ids: Sequence[UUID]) -> Rows:
        return []

    async def unlocked(s: Statement, id_: UUID) -> Rows:
        return await read(Free(s), id_)

    with statement("lock_flows_of", nothing), statement("read_approval", unlocked):
        yield


@mutant("cancel beside a flow", caught_by=NothingStuck, plan=_CANCELLED)
def cancel_beside_a_flow() -> Iterator[None]:
    """Who cancels a flow does not lock it: the step that it comes to just then lives on."""

    async def looks(s: Statement, ids: Sequence[UUID]) -> Rows:
        states = (s.find(s.tables.flow_state, id_) for id_ in ids)
        return [(root,) for root in sorted({state.root for state in states if state is not None})]

    with statement("lock_flows_of", looks):
        yield


@mutant("step that any worker takes", caught_by=KeptTogether, plan=_TOGETHER)
def step_that_any_worker_takes() -> Iterator[None]:
    """The steps of a flow that keeps to one worker have the tag of the flow, like all others."""

    def untouched(job: NewJob, _flow: object) -> NewJob:
        return job

    with replaced(flows, "_kept", untouched):
        yield
