"""The breach of what is promised of a worker's slots, as small as can be, and what is allowed."""

from collections.abc import Callable
from typing import Final

from sim.handmade import Handmade
from sim.oracles import Oracle
from sim.oracles.slots import NoSlotIdles


def one_of_two(made: Handmade) -> None:
    """A job waits for half a minute while one of two slots is busy."""
    made.begin()
    made.enqueue(1)
    made.pull(1)
    made.start(1)
    made.enqueue(2)
    made.wait(30)
    made.pull(2)


def in_hand(made: Handmade) -> None:
    """A worker has pulled two jobs and runs one after the other in its two slots."""
    made.begin()
    made.enqueue(1, 2)
    made.pull(1, 2)
    made.start(1)
    made.wait(30)
    made.end(1)
    made.start(2)


def both_busy(made: Handmade) -> None:
    """A job waits until one of the two that run has ended."""
    made.begin()
    made.enqueue(1, 2, 3)
    made.pull(1, 2, 3)
    made.start(1)
    made.start(2)
    made.enqueue(4)
    made.wait(30)
    made.end(1)
    made.start(3)
    made.end(2)
    made.pull(4)


def beside_a_last_chance(made: Handmade) -> None:
    """A job waits while its worker runs one that has cost all workers but one."""
    made.begin()
    made.enqueue(1, reaped=made.plan.sizes.reaped_max, attempt=4)
    made.pull(1)
    made.start(1, attempt=4)
    made.enqueue(2)
    made.wait(30)
    made.end(1, attempt=4)
    made.store(1, attempt=4)
    made.pull(2)


SLOT_BREACHES: Final[dict[type[Oracle], Callable[[Handmade], None]]] = {NoSlotIdles: one_of_two}
"""The same for each oracle of slots."""
