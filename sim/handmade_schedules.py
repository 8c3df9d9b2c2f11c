"""Breaches of what is promised of schedules, each as small as can be."""

from collections.abc import Callable
from typing import Final
from uuid import UUID

from msgspec.structs import replace

from sim.database.rows import JobRow, ScheduleRow
from sim.handmade import CLIENT, A, Handmade, job
from sim.handmade_follow_ups import FOLLOWED_BREACHES
from sim.handmade_limits import LIMIT_BREACHES, LIMITED_PLAN
from sim.handmade_progress import PROGRESS_BREACHES
from sim.handmade_reuse import REUSE_BREACHES
from sim.handmade_slots import SLOT_BREACHES
from sim.oracles import Oracle
from sim.oracles.schedules import InTurn, ScheduleGoesOn, TickOnce, TickWithItsEnd

PLAN: Final = LIMITED_PLAN
"""One that suits all breaches."""
TICK: Final = '{"schedule": "s", "tick": "2026-01-01T00:00:00Z"}'
DEFINITION: Final = '{"name": "s", "path": "ok", "timing": {"every_s": 1.0}}'


def schedule(made: Handmade, pending: UUID | None) -> ScheduleRow:
    """A schedule that is due now, and what it waits for."""
    return ScheduleRow(
        name="s", definition=DEFINITION, pending=pending, decided_until=made.clock,
        look_at=made.clock, created_at=made.clock,
    )  # fmt: skip


def twice(made: Handmade) -> None:
    """One tick is two jobs."""
    made.enqueue(1, options=TICK)
    made.enqueue(2, options=TICK)


def ended(made: Handmade, *, noted: bool) -> None:
    """The job that a schedule waits for ends, and the schedule is told of it or not."""
    made.begin()
    made.enqueue(1, options=TICK)
    row = schedule(made, job(1))
    made.commit(CLIENT, (None, row))
    made.pull(1)
    made.run(1)
    told = [(row, schedule(made, job(2)))] if noted else []
    made.commit(A, *made.leave(1), (None, made.completed(1)), *told)


def unnoticed(made: Handmade) -> None:
    """A job has ended, and its schedule waits for it for ever."""
    ended(made, noted=False)


def asleep(made: Handmade) -> None:
    """Nobody has looked at a schedule for a minute when it is deleted."""
    row = schedule(made, None)
    made.commit(CLIENT, (None, row))
    made.wait(60)
    made.commit(CLIENT, (row, None))


def beside(made: Handmade, definition: str = DEFINITION) -> None:
    """The next tick becomes a job while that of the one before has not ended."""
    row = schedule(made, job(1))
    made.commit(CLIENT, (None, row))
    made.enqueue(1, options=TICK)
    made.wait(1)
    later = JobRow(
        id=job(2), kind="function", path="ok", args="{}", tag="t", priority=0,
        options=TICK.replace(":00Z", ":01Z"), awaited=False, created_at=made.clock, created_by="",
    )  # fmt: skip
    made.commit(A, (None, later), (row, replace(schedule(made, job(2)), definition=definition)))


SORT_BREACHES: Final[dict[type[Oracle], Callable[[Handmade], None]]] = LIMIT_BREACHES | {
    **REUSE_BREACHES,
    **PROGRESS_BREACHES,
    **FOLLOWED_BREACHES,
    **SLOT_BREACHES,
    TickOnce: twice,
    TickWithItsEnd: unnoticed,
    ScheduleGoesOn: asleep,
    InTurn: beside,
}
"""The same for each oracle of a sort of effect."""
