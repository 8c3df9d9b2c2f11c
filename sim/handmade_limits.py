"""Breaches of what is promised of concurrency limits, each as small as can be."""

from collections.abc import Callable
from datetime import datetime
from typing import Final

from sim.database.rows import JobRow, ReadyRow, Row, SlotRow, WaitingRow
from sim.handmade import CLIENT, A, Handmade, job
from sim.oracles import Oracle
from sim.oracles.limits import NextInLine, SlotFilled, SlotsHeld, WithinLimit
from sim.oracles.liveness import SETTLING_S
from sim.plan import Plan, Sizes

LIMITED_PLAN: Final = Plan(
    seed=0,
    sizes=Sizes(lease_s=5.0, poll_s=1.0, pull=3, commit=3, concurrency=2),
    limits=(1,),
)
OPTIONS: Final = '{"limit": {"slots": 1, "key": "key-0"}}'


def slot(number: int) -> SlotRow:
    """A job's slot."""
    return SlotRow(id=job(number), key="key-0")


def in_line(
    made: Handmade,
    *numbers: int,
    priority: int = 0,
    due: datetime | None = None,
    options: str = OPTIONS,
) -> None:
    """Jobs are enqueued over the limit."""
    rows: list[tuple[Row | None, Row | None]] = []
    for number in numbers:
        row = JobRow(
            id=job(number), kind="function", path="ok", args="{}", tag="t", priority=priority,
            options=options, awaited=False, created_at=made.clock, created_by="",
        )  # fmt: skip
        waiting = WaitingRow(
            id=row.id, reason="limit", until=None, attempt=1, reaped=0, since=made.clock,
            key="key-0", priority=priority, scheduled_for=due or made.clock,
        )  # fmt: skip
        made.waiting[row.id] = waiting
        rows += [(None, row), (None, waiting)]
    made.commit(CLIENT, *rows)


def let_in(made: Handmade, number: int, *more: tuple[Row | None, Row | None]) -> None:
    """A job gets its slot, in a transaction that may do more."""
    waiting = made.waiting.pop(job(number))
    assert waiting.scheduled_for is not None
    ready = ReadyRow(id=job(number), tag="t", priority=0, scheduled_for=waiting.scheduled_for)
    made.ready[ready.id] = ready
    made.commit(A, (waiting, None), (None, ready), (None, slot(number)), *more)


def without_a_slot(made: Handmade) -> None:
    """A limited job is ready, and nobody knows that it counts."""
    made.enqueue(1, options=OPTIONS)


def too_many_run(made: Handmade) -> None:
    """Two jobs of one slot run at a time."""
    made.begin()
    made.enqueue(1, 2, options=OPTIONS)
    made.pull(1, 2)
    made.start(1)
    made.start(2)


def out_of_turn(made: Handmade) -> None:
    """The second in line is let in before the first."""
    made.begin()
    in_line(made, 1, 2)
    let_in(made, 2)


def left_waiting(made: Handmade) -> None:
    """The slot has been free for a minute when somebody looks."""
    made.begin()
    in_line(made, 1)
    made.wait(SETTLING_S + 60)
    let_in(made, 1)


LIMIT_BREACHES: Final[dict[type[Oracle], Callable[[Handmade], None]]] = {
    SlotsHeld: without_a_slot,
    WithinLimit: too_many_run,
    NextInLine: out_of_turn,
    SlotFilled: left_waiting,
}
"""For each oracle the smallest trace that it must find something in."""


def right_order(made: Handmade) -> None:
    """One after the other, each let in by the end of the one before."""
    made.begin()
    in_line(made, 1, 2)
    let_in(made, 1)
    made.pull(1)
    made.run(1)
    done = (None, made.completed(1))
    let_in(made, 2, *made.leave(1), done, (slot(1), None))
    made.say_stored(1)
    made.pull(2)
    made.run(2)
