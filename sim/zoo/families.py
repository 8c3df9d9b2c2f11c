"""Mutants of functions with children and steps: one lost, one made twice, one left behind."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final
from uuid import UUID

from sim.database.models import Rows, Statement
from sim.database.rows import StepRow
from sim.families import LEAVER, PARENT
from sim.oracles.families import Families
from sim.oracles.liveness import Live
from sim.plan import Plan, Scripted, Sizes
from sim.replace import replaced
from sim.zoo.mutant import mutant, statement
from trioworker.ids import child_id
from trioworker.model.workflow import Children, Placed
from trioworker.runners import attempted
from trioworker.runners.attempted import Attempted
from trioworker.store.postgres.workflow import PostgresWorkflow
from trioworker.worker.workflow import WorkflowTask

FAMILIES: Final = Plan(
    seed=0,
    sizes=Sizes(workers=2, concurrency=4),
    jobs=(PARENT,) * 8,
    chaos_s=4.0,
    drain_s=60.0,
)
KILLED: Final = Plan(
    seed=0,
    sizes=Sizes(workers=2, lease_s=1.5, heartbeat_s=0.5, sweep_s=0.5),
    jobs=(PARENT,) * 8,
    script=[Scripted(fault="worker killed@worker-0#0", at_s=0.6)],
    chaos_s=4.0,
)
"""A worker dies while its parents wait, and another goes on."""
_STALLED: Final = [f"stalled, then carried out@worker-0/store_steps#{n}" for n in range(12)]
PAUSED: Final = Plan(
    seed=0,
    sizes=Sizes(workers=2, lease_s=1.5, heartbeat_s=0.5, sweep_s=0.5),
    jobs=(PARENT,) * 20,
    exactly=_STALLED,
    lasting=dict.fromkeys(_STALLED, 4.0),
    script=[Scripted(fault="worker paused@worker-0#0", after="worker-0/store_steps#0", for_s=6.0)],
    chaos_s=10.0,
)
"""A worker is paused while the server is slow with its parents' steps, and another takes them."""
LEAVING: Final = Plan(seed=0, jobs=(LEAVER,) * 4, chaos_s=12.0)


@mutant("child lost between two batches", caught_by=Families, plan=FAMILIES)
def child_lost() -> Iterator[None]:
    """Of what several parents enqueue at once only the children of the first are stored."""
    enqueue = PostgresWorkflow.enqueue

    async def of_the_first(
        self: PostgresWorkflow, worker: UUID, children: Sequence[Children]
    ) -> Placed:
        return await enqueue(self, worker, children[:1])

    with replaced(PostgresWorkflow, "enqueue", of_the_first):
        yield


@mutant("parent never woken", caught_by=Live, plan=FAMILIES)
def parent_never_woken() -> Iterator[None]:
    """Nobody looks how children have ended."""

    async def look(_self: WorkflowTask, _asked: Sequence[UUID]) -> None:
        return

    with replaced(WorkflowTask, "_look", look):
        yield


@mutant("child of this attempt alone", caught_by=Families, plan=KILLED)
def child_of_this_attempt() -> Iterator[None]:
    """A later attempt makes its children anew, for their ids tell which attempt has asked."""
    begin = Attempted.__init__

    def begins(self: Attempted, *arguments: object) -> None:
        begin(self, *arguments)  # type: ignore[arg-type]  # as they come
        job = self._job
        self._asked.clear()
        _OF[0] = f"{job.claim} {job.attempt}"

    def of_the_attempt(parent: UUID, *facts: object) -> UUID:
        return child_id(parent, _OF[0], *facts)

    with replaced(Attempted, "__init__", begins), replaced(attempted, "child_id", of_the_attempt):
        yield


_OF: Final = [""]


@mutant("step done again", caught_by=Families, plan=KILLED)
def step_done_again() -> Iterator[None]:
    """Steps are stored, and nobody asks for them."""

    async def none(_self: PostgresWorkflow, _worker: UUID, _job: object) -> Mapping[str, str]:
        return {}

    with replaced(PostgresWorkflow, "steps", none):
        yield


@mutant("step stored outside the fence", caught_by=Families, plan=PAUSED)
def step_outside_the_fence() -> Iterator[None]:
    """What a step returned is stored whoever has its job by now."""

    async def for_anybody(
        s: Statement,
        _worker: UUID,
        _claims: Sequence[UUID],
        ids: Sequence[UUID],
        _attempts: Sequence[int],
        names: Sequence[str],
        results: Sequence[str],
    ) -> Rows:
        for id_, name, result in zip(ids, names, results, strict=True):
            row = StepRow(job=id_, name=name, result=result, at=s.now)
            await s.insert(s.tables.job_step, row, do_nothing=True)
        return []

    with statement("store_steps", for_anybody):
        yield


@mutant("children left behind", caught_by=Families, plan=LEAVING)
def children_left_behind() -> Iterator[None]:
    """What a parent leaves behind when it fails goes on, for nobody sees to it."""

    async def nothing(_self: PostgresWorkflow) -> bool:
        return False

    with replaced(PostgresWorkflow, "end_parents", nothing):
        yield
