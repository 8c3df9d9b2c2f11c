"""Breaches of what is promised of handlers and of restarts, as small as can be."""

from collections.abc import Callable
from datetime import timedelta
from typing import Final

from sim.database.rows import JobRow, ReadyRow
from sim.handmade import A, Handmade, job
from sim.oracles import Oracle
from sim.oracles.follow_ups import Followed, RestFirst

RESTARTS: Final = '{"restart": true}'


def untold(made: Handmade) -> None:
    """A job ends well, and nobody is told."""
    made.begin()
    made.enqueue(1, options='{"on_success": {"path": "ok"}}')
    made.pull(1)
    made.run(1)
    made.commit(A, *made.leave(1), (None, made.completed(1)))


def restless(made: Handmade) -> None:
    """A job that has just begun ends, and comes again at once."""
    made.begin()
    made.enqueue(1, options=RESTARTS)
    made.pull(1)
    made.run(1)
    come_again(made, rest_s=0.0)


def come_again(made: Handmade, *, rest_s: float) -> None:
    """Job 1 ends and is job 2 from now on, which is due so many seconds later."""
    row = JobRow(
        id=job(2), kind="function", path="ok", args="{}", tag="t", priority=0, options=RESTARTS,
        awaited=False, created_at=made.clock, created_by="",
    )  # fmt: skip
    due = made.clock + timedelta(seconds=rest_s)
    ready = ReadyRow(id=job(2), tag="t", priority=0, scheduled_for=due)
    made.commit(A, *made.leave(1), (None, made.completed(1)), (None, row), (None, ready))


FOLLOWED_BREACHES: Final[dict[type[Oracle], Callable[[Handmade], None]]] = {
    Followed: untold,
    RestFirst: restless,
}
