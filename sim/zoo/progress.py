"""Mutants of progress: told of somebody else's attempt, or not what was told last."""

from collections.abc import Iterator, Sequence
from typing import Any, Final
from uuid import UUID

from sim.database.models import MODELS, Rows, Statement, all_models
from sim.oracles.progress import ToldByItsOwn
from sim.plan import CLIMB, Plan, Scripted, Sizes
from sim.replace import replaced
from sim.zoo.mutant import mutant, statement
from trioworker.model.outcome import Executed
from trioworker.runners.telling import Telling
from trioworker.store.postgres.store import COMMIT, PostgresStore
from trioworker.store.protocol import Stored

CLIMBING: Final = Plan(
    seed=0,
    sizes=Sizes(workers=2, lease_s=1.5, heartbeat_s=0.5, sweep_s=0.5),
    jobs=(CLIMB,) * 10,
    script=[Scripted(fault="worker paused@worker-0#0", at_s=1.2, for_s=4.0)],
    chaos_s=6.0,
)
"""A worker is paused while its jobs tell, and another takes them from it."""
_STALLED: Final = [f"stalled, then carried out@worker-0/store_running#{n}" for n in range(10)]
SLOWLY_STORED: Final = Plan(
    seed=0,
    sizes=Sizes(workers=1),
    jobs=(CLIMB,) * 5,
    exactly=_STALLED,
    lasting=dict.fromkeys(_STALLED, 1.0),
)
"""Most of what jobs tell they tell while something of theirs is being stored."""


@mutant("progress unfenced", caught_by=ToldByItsOwn, plan=CLIMBING)
def progress_unfenced() -> Iterator[None]:
    """What running jobs tell is stored whoever has them by now."""
    fenced = all_models()["store_running"]

    async def for_anybody(
        s: Statement, worker: UUID, claims: Sequence[UUID], *columns: Sequence[Any]
    ) -> Rows:
        *said, fractions, notes, number = columns
        nothing = [None] * len(fractions)
        await fenced(s, worker, claims, *said, nothing, nothing, number)
        told = [one for one in zip(*said[:2], fractions, notes, strict=True) if one[2] is not None]
        return await MODELS["store_progress"](s, *zip(*told, strict=True)) if told else []

    with statement("store_running", for_anybody):
        yield


@mutant("progress of lost outcomes", caught_by=ToldByItsOwn, plan=CLIMBING)
def progress_of_lost_outcomes() -> Iterator[None]:
    """Who comes too late with an outcome stores at least how far it had come."""
    commit = PostgresStore.commit

    async def and_progress(
        self: PostgresStore, worker: UUID, batch: Sequence[Executed], *, again: bool
    ) -> Stored:
        stored = await commit(self, worker, batch, again=again)
        told = [
            (one.job.id, one.job.attempt, one.progress.fraction, one.progress.note)
            for one in batch
            if one.progress is not None and one.job.id in stored.lost
        ]
        if told:
            await self._database.run(COMMIT, "store_progress", *zip(*told, strict=True))
        return stored

    with replaced(PostgresStore, "commit", and_progress):
        yield


@mutant("told during a flush, taken for stored", caught_by=ToldByItsOwn, plan=SLOWLY_STORED)
def told_during_a_flush() -> Iterator[None]:
    """What a job tells while its progress is being stored counts as stored with it."""

    def accept(self: Telling) -> None:
        self._accepted = self.newest

    with replaced(Telling, "accept", accept):
        yield
