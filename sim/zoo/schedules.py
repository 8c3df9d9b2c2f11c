"""Mutants of schedules: ticks that come twice, too late for their commit, or never again."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import trio

from sim.database.models import Rows, Statement
from sim.oracles.schedules import ScheduleGoesOn, TickOnce, TickWithItsEnd
from sim.plan import Plan, Sizes
from sim.replace import replaced
from sim.zoo.mutant import mutant, statement
from trioworker.ids import derived_id
from trioworker.model.schedule import End, when_due
from trioworker.store.postgres import effects, schedules
from trioworker.store.postgres.database import Transaction
from trioworker.store.postgres.schedules import Advanced

_TICKING: Final = Plan(
    seed=0,
    sizes=Sizes(workers=3, jobs=3, pull=5, commit=5, concurrency=5, sweep_s=0.5),
    schedules=3,
    chaos_s=4.0,
)
"""Three workers and three schedules."""
_DEADLY: Final = Plan(
    seed=0,
    sizes=Sizes(workers=2, jobs=2, lease_s=1.5, heartbeat_s=0.5, reaped_max=1, sweep_s=0.5),
    schedules=1,
    ticking="deadly",
    chaos_s=12.0,
)
"""Ticks that kill their workers until they are given up."""


@mutant(
    "tick enqueued twice",
    caught_by=TickOnce,
    seen_in="Windmill and others: the next tick is pushed by whoever sees the last one end",
    plan=_TICKING,
)
def tick_enqueued_twice() -> Iterator[None]:
    """The id of a tick's job is as new as any, and whoever looks at a schedule makes the next."""
    now = when_due

    def twice(schedule: Any, progress: Any, moment: datetime) -> Any:  # noqa: ANN401 - as they are
        move = now(schedule, progress, moment)
        again = () if progress.last_tick is None else (progress.last_tick,)
        return move._replace(ticks=(*again, *move.ticks))

    def as_new(name: str, tick: datetime) -> UUID:
        return derived_id(tick, name, trio.current_time())

    async def all_of_them(s: Statement, limit: int) -> Rows:
        rows = sorted(s.rows(s.tables.schedule), key=lambda row: row.name)[:limit]
        return [(*_fields(row)[:-1], s.now) for row in rows]

    async def none(_s: Statement, _ids: Sequence[UUID]) -> Rows:
        return []

    with (
        replaced(schedules, "when_due", twice),
        replaced(schedules, "tick_id", as_new),
        statement("due_schedules", all_of_them),
        statement("unfinished_jobs", none),
    ):
        yield


@mutant("next tick outside the transaction", caught_by=TickWithItsEnd, plan=_TICKING)
def next_tick_outside_the_transaction() -> Iterator[None]:
    """A commit leaves it to the next sweep to make the next tick a job."""

    async def later(_tx: Transaction, _ends: Mapping[str, Sequence[End]]) -> Advanced:
        return Advanced((), {})

    with replaced(effects, "advance_schedules", later):
        yield


@mutant("tick lost at a crash", caught_by=ScheduleGoesOn, plan=_DEADLY)
def tick_lost_at_a_crash() -> Iterator[None]:
    """The end of a job that was given up makes no tick a job, and no sweep heals that."""
    advance = schedules.advance_schedules

    async def unless_given_up(tx: Transaction, ends: Mapping[str, Sequence[End]]) -> Advanced:
        stored = {
            name: kept
            for name, of_one in ends.items()
            if (kept := [end for end in of_one if end.status != "failure"])
        }
        return await advance(tx, stored)

    async def nothing(_s: Statement, _limit: int) -> Rows:
        return []

    with (
        replaced(effects, "advance_schedules", unless_given_up),
        statement("due_schedules", nothing),
    ):
        yield


def _fields(row: Any) -> tuple[Any, ...]:  # noqa: ANN401 - a row
    return tuple(getattr(row, field) for field in row.__struct_fields__)
