"""Mutants of what follows an end: told twice, told apart from it, not told, run again anyway."""

from collections.abc import Iterator, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec

from sim.oracles.follow_ups import Followed, RestFirst
from sim.plan import Plan, Sizes
from sim.replace import replaced
from sim.zoo.mutant import mutant
from trioworker.ids import derived_id
from trioworker.model import effects as model
from trioworker.model import follow_ups as rules
from trioworker.model.follow_ups import Ended, ended, follow_ups
from trioworker.model.job import NewJob
from trioworker.model.outcome import Cancelled, Executed
from trioworker.store.postgres import effects, store
from trioworker.store.postgres.database import Transaction
from trioworker.store.protocol import Stored

TOLD: Final = Plan(seed=0, sizes=Sizes(workers=1), jobs=("ok", "raise"), told=1.0, chaos_s=3.0)
"""Two jobs end, and others are told how."""
AGAIN: Final = Plan(seed=0, sizes=Sizes(workers=1), jobs=("again",) * 5, chaos_s=3.0, drain_s=400.0)
"""Jobs restart until they have had enough."""
GIVEN_UP: Final = Plan(
    seed=0,
    sizes=Sizes(workers=2, lease_s=1.5, heartbeat_s=0.5, sweep_s=0.5, reaped_max=1),
    jobs=("deadly",),
    told=1.0,
    chaos_s=8.0,
)
"""A job takes its workers with it until it is given up."""


@mutant("handler called twice", caught_by=Followed, plan=TOLD)
def handler_called_twice() -> Iterator[None]:
    """What follows an end is enqueued a second time, under other ids."""
    right = follow_ups

    def twice(*arguments: Any, **named: Any) -> Sequence[NewJob]:  # noqa: ANN401 - those of the right one
        jobs = right(*arguments, **named)
        again = [
            msgspec.structs.replace(job, id=derived_id(named["now"], job.id, "again"))
            for job in jobs
        ]
        return [*jobs, *again]

    with replaced(effects, "follow_ups", twice):
        yield


@mutant(
    "handler outside the transaction",
    caught_by=Followed,
    seen_in="celery, whose link_error is sent when the result has been stored, if the worker lives",
    plan=TOLD,
)
def handler_outside_the_transaction() -> Iterator[None]:
    """What follows an end is stored in a transaction of its own, after that of the end."""
    right = store.PostgresStore.commit
    waiting = list[tuple[UUID, Sequence[Executed], float]]()

    async def later(
        _tx: Transaction, worker: UUID, batch: Sequence[Executed], *, now_s: float, room: int
    ) -> effects.Followed:
        del room
        waiting.append((worker, batch, now_s))
        return effects.NOTHING_FOLLOWED

    async def commit(
        self: store.PostgresStore, worker: UUID, batch: Sequence[Executed], *, again: bool
    ) -> Stored:
        stored = await right(self, worker, batch, again=again)
        while waiting:
            by, ends, now_s = waiting.pop()

            async def body(
                tx: Transaction,
                by: UUID = by,
                ends: Sequence[Executed] = ends,
                now_s: float = now_s,
            ) -> None:
                await effects.store_effects_of(tx, by, ends, now_s=now_s, room=0)

            await self._database.transact(store.COMMIT, body)
        return stored

    changed = replaced(store, "store_effects_of", later)
    with changed, replaced(store.PostgresStore, "commit", commit):
        yield


@mutant("handler lost with the reaper", caught_by=Followed, plan=GIVEN_UP)
def handler_lost_with_the_reaper() -> Iterator[None]:
    """A sweep that gives a job up stores its end, and nothing of what follows from that."""

    async def nothing(*_arguments: object, **_named: object) -> None:
        return None

    with replaced(store, "store_ends", nothing):
        yield


@mutant("restarted after a cancel", caught_by=Followed, plan=AGAIN)
def restarted_after_a_cancel() -> Iterator[None]:
    """A job that restarts comes again whatever ended it, a cancellation included."""
    right = ended

    def all_of_them(batch: Sequence[Executed], *, now_s: float) -> Sequence[Ended]:
        cancelled = [
            Ended(one.job, one.outcome, now_s - one.started_s)
            for one in batch
            if isinstance(one.outcome, Cancelled) and one.job.options.restart
        ]
        return [*right(batch, now_s=now_s), *cancelled]

    with replaced(model, "ended", all_of_them):
        yield


@mutant("restarted without a rest", caught_by=RestFirst, plan=AGAIN)
def restarted_without_a_rest() -> Iterator[None]:
    """A job that restarts is due again at once, however soon its last run is over."""
    with replaced(rules, "RESTART_AFTER_S", 0.0):
        yield
