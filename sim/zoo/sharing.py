"""Mutants of steps that share a worker: lost on the way, or given to others."""

from collections.abc import Iterator, Sequence
from typing import Final
from uuid import UUID

from sim.database.models import Rows, Statement, leases
from sim.database.rows import ReadyRow
from sim.flowing import ANEW, TOGETHER
from sim.oracles.calm import Quiet
from sim.oracles.kept import KeptTogether
from sim.plan import KILL, Plan, Sizes
from sim.replace import replaced
from sim.zoo.mutant import mutant, statement
from trioworker.model.job import Job
from trioworker.worker.pull import Pull

_CALM: Final = Plan(
    seed=0,
    sizes=Sizes(workers=3, jobs=4, pull=2, commit=2, concurrency=2),
    flows=(TOGETHER, ANEW) * 4,
    chaos_s=4.0,
)
"""Three workers, each with flows of its own."""
_LOST: Final = Plan(
    seed=0,
    sizes=Sizes(workers=3, jobs=2, lease_s=1.5, heartbeat_s=0.5, sweep_s=0.5),
    flows=tuple(f"{name}@{number / 4}" for number in range(32) for name in (TOGETHER, ANEW)),
    faults={KILL: 2.0},
    chaos_s=8.0,
)
"""Workers that are killed with flows of theirs under way."""


@mutant("handed step dropped", caught_by=Quiet, plan=_CALM)
def handed_step_dropped() -> Iterator[None]:
    """What a commit hands over is told to nobody: it stands in a claim until somebody looks."""

    def drop(_self: Pull, _jobs: Sequence[Job]) -> Sequence[Job]:
        return ()

    with replaced(Pull, "take_over", drop):
        yield


@mutant("stranded step given to others", caught_by=KeptTogether, plan=_LOST)
def stranded_step_given_to_others() -> Iterator[None]:
    """What a lost worker had of a flow goes to another one, which has not its folder."""

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
