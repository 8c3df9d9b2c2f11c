"""Breaches of what is promised of functions with children and steps, each as small as can be."""

from collections.abc import Callable
from typing import Final
from uuid import UUID

from sim.database.rows import JobRow, ReadyRow, StepRow
from sim.families import PARENT
from sim.handmade import CLIENT, A, Handmade, job
from sim.happenings import StepDone
from sim.oracles import Oracle
from sim.oracles.families import Families


def begun(made: Handmade) -> None:
    """A parent runs."""
    made.begin()
    made.enqueue(1, path=PARENT)
    made.pull(1)
    made.start(1, path=PARENT)


def child(made: Handmade, number: int, *, by: UUID | str = A) -> None:
    """The parent has a child, in whosever transaction."""
    row = JobRow(
        id=job(number), kind="function", path="ok", args="[1,0]", tag="t", priority=0,
        options=None, awaited=True, created_at=made.clock, created_by="", parent=job(1),
    )  # fmt: skip
    ready = ReadyRow(id=job(number), tag="t", priority=0, scheduled_for=made.clock)
    made.jobs[row.id], made.ready[ready.id] = row, ready
    made.commit(by, (None, row), (None, ready))


def step(made: Handmade, *, by: UUID | str = A) -> None:
    """A step of the parent is stored."""
    row = StepRow(job=job(1), name="draw", result="1", at=made.clock)
    made.commit(by, (None, row))


def right(made: Handmade) -> None:
    """A parent has a step and a child, and succeeds after it."""
    begun(made)
    step(made)
    child(made, 2)
    made.pull(2)
    made.store(2)
    made.store(1, result=f'[null,["{job(2)}"]]')


def too_early(made: Handmade) -> None:
    """A parent succeeds before its child has ended."""
    begun(made)
    child(made, 2)
    made.store(1, result=f'[null,["{job(2)}"]]')


def twice(made: Handmade) -> None:
    """A parent has the same child twice."""
    begun(made)
    child(made, 2)
    child(made, 3)


def by_somebody_else(made: Handmade) -> None:
    """A child comes from one who does not have its parent."""
    begun(made)
    child(made, 2, by=CLIENT)


def of_nobody(made: Handmade) -> None:
    """A step is stored after the end of its job."""
    begun(made)
    made.store(1, result="[null,[]]")
    step(made)


def done_again(made: Handmade) -> None:
    """An attempt that begins after a step was stored does it once more."""
    begun(made)
    step(made)
    made.wait(1)
    made.start(1, path=PARENT)
    made.say(A, StepDone(worker=A, job=job(1), attempt=1, name="draw"))


def left_behind(made: Handmade) -> None:
    """A parent has failed long ago, and nobody has cancelled its child."""
    begun(made)
    child(made, 2)
    made.store(1, status="failure", result=None, error='{"name":"E"}')
    made.wait(100)
    made.beat()


EVERY_WAY: Final = (too_early, twice, by_somebody_else, of_nobody, done_again, left_behind)
FAMILY_BREACHES: Final[dict[type[Oracle], Callable[[Handmade], None]]] = {Families: too_early}
"""For each oracle the smallest trace that it must find something in."""
