"""Mutants of steps that share a worker: run by others, lost on the way, or begun anew too soon."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from sim.database.models import Rows, Statement, leases
from sim.database.rows import ReadyRow
from sim.oracles.calm import Quiet
from sim.oracles.sharing import OneWorker
from sim.plan import KILL, Plan, Sizes
from sim.replace import replaced
from sim.sharing import SHARED, SHARED_AGAIN, SHARING
from sim.zoo.mutant import mutant, statement
from trioworker.model.job import Job, NewJob
from trioworker.store.postgres import flows
from trioworker.worker.pull import Pull

_SHARING: Final = Plan(
    seed=0,
    sizes=Sizes(workers=3, jobs=4, pull=2, commit=2, concurrency=2),
    flows=(*SHARING, *SHARING),
    chaos_s=4.0,
)
"""Three workers, each with flows of its own."""
_LOST: Final = Plan(
    seed=0,
    sizes=Sizes(workers=3, jobs=2, lease_s=1.5, heartbeat_s=0.5, sweep_s=0.5),
    flows=tuple(f"{name}@{number / 4}" for number in range(32) for name in (SHARED, SHARED_AGAIN)),
    faults={KILL: 2.0},
    chaos_s=8.0,
)
"""Workers that are killed with flows of theirs under way."""


@mutant("step for everybody", caught_by=OneWorker, plan=_SHARING)
def step_for_everybody() -> Iterator[None]:
    """A step that shares a worker has the tag of its flow, and whoever comes first takes it."""
    kept = flows._kept

    def for_all(job: NewJob, flow: Any) -> NewJob:  # noqa: ANN401 - as it is
        return msgspec.structs.replace(kept(job, flow), tag=job.tag)

    with replaced(flows, "_kept", for_all):
        yield


@mutant("stranded step given to others", caught_by=OneWorker, plan=_LOST)
def stranded_step_given_to_others() -> Iterator[None]:
    """What a lost worker had of a flow goes to another one, without the folder."""

    def is_none(_s: Statement, _id: UUID) -> bool:
        return False

    async def for_all(s: Statement, id_: UUID, attempt: int, reaped: int) -> None:
        job = s.find(s.tables.job, id_)
        if job is not None:
            ready = ReadyRow(
                id=id_, tag="tag-0", priority=job.priority, scheduled_for=s.now,
                attempt=attempt, reaped=reaped,
            )  # fmt: skip
            await s.insert(s.tables.ready, ready)

    async def nothing(_s: Statement, _limit: int) -> Rows:
        return []

    with (
        replaced(leases, "_is_stranded", is_none),
        replaced(leases, "_make_ready", for_all),
        statement("lost_flows", nothing),
    ):
        yield


@mutant("handed step dropped", caught_by=Quiet, plan=_SHARING)
def handed_step_dropped() -> Iterator[None]:
    """What a commit hands over is told to nobody: it stands in a claim until somebody looks."""

    def drop(_self: Pull, _jobs: Sequence[Job]) -> Sequence[Job]:
        return ()

    with replaced(Pull, "take_over", drop):
        yield


@mutant("flow of a worker that lives", caught_by=OneWorker, plan=_SHARING)
def flow_of_a_worker_that_lives() -> Iterator[None]:
    """A flow of which nothing is in a claim right now counts as lost, whoever runs its steps."""

    async def of_all(s: Statement, limit: int) -> Rows:
        claiming = {claim.worker for claim in s.rows(s.tables.claim)}
        states = [row for row in s.rows(s.tables.flow_state) if row.worker not in claiming]
        return sorted({(row.root, row.worker) for row in states if row.worker})[:limit]

    with statement("lost_flows", of_all):
        yield
