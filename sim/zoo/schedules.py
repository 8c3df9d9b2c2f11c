"""Mutants of schedules: ticks that come twice, too late for their commit, or never again."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import trio
from msgspec.structs import replace

from sim.database.models import Rows, Statement
from sim.oracles.schedules import InTurn, ScheduleGoesOn, TickOnce, TickWithItsEnd
from sim.plan import LONG, Plan, Sizes
from sim.replace import replaced
from sim.ticking import Ticking
from sim.zoo.mutant import mutant, statement
from trioworker.ids import derived_id
from trioworker.model.schedule import (
    End,
    Move,
    Progress,
    Schedule,
    after_end,
    begin,
    when_due,
)
from trioworker.store.postgres import effects, schedules
from trioworker.store.postgres.database import Transaction
from trioworker.store.postgres.schedules import Advanced

_TICKING: Final = Plan(
    seed=0,
    sizes=Sizes(workers=3, jobs=3, pull=5, commit=5, concurrency=5, sweep_s=0.5),
    schedules=(Ticking(), Ticking(overlap="queue_one", catch_up="last"), Ticking(catch_up="all")),
    chaos_s=4.0,
)
"""Three workers and three schedules."""
_DEADLY: Final = Plan(
    seed=0,
    sizes=Sizes(workers=2, jobs=2, lease_s=1.5, heartbeat_s=0.5, reaped_max=1, sweep_s=0.5),
    schedules=(Ticking(body="deadly"),),
    chaos_s=12.0,
)
"""Ticks that kill their workers until they are given up."""
_SLOW: Final = Plan(
    seed=0,
    sizes=Sizes(workers=1, jobs=1),
    schedules=(Ticking(body=LONG, catch_up="all"),),
    meddling=("pause 0@10.5", "resume 0@15.0"),
    chaos_s=4.0,
)
"""A schedule whose jobs take longer than from tick to tick, and which is paused for a while."""


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


@mutant("ticks in a pause", caught_by=InTurn, plan=_SLOW)
def ticks_in_a_pause() -> Iterator[None]:
    """A schedule that is paused while its job runs goes on with the end of that job."""

    def deaf(schedule: Schedule, progress: Progress, end: End, moment: datetime) -> Move:
        move = after_end(schedule, replace(progress, paused=False), end, moment)
        return Move(replace(move.progress, paused=progress.paused), move.ticks)

    with replaced(schedules, "after_end", deaf):
        yield


@mutant("missed ticks forgotten", caught_by=InTurn, plan=_SLOW)
def missed_ticks_forgotten() -> Iterator[None]:
    """Ticks that passed while the job of the one before ran are dropped, whatever was said."""

    def forget(schedule: Schedule, progress: Progress, end: End, moment: datetime) -> Move:
        return after_end(replace(schedule, catch_up="none"), progress, end, moment)

    with replaced(schedules, "after_end", forget):
        yield


@mutant("one beside the other", caught_by=InTurn, plan=_SLOW)
def one_beside_the_other() -> Iterator[None]:
    """The ticks of the next minute become jobs at once, also where one is to wait for another."""

    def ahead(schedule: Schedule, progress: Progress, moment: datetime) -> Move:
        return begin(replace(schedule, overlap="allow"), progress, moment)

    with replaced(schedules, "begin", ahead):
        yield


def _fields(row: Any) -> tuple[Any, ...]:  # noqa: ANN401 - a row
    return tuple(getattr(row, field) for field in row.__struct_fields__)
