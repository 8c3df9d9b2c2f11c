"""Breaches of what is promised of unique keys, each as small as can be."""

from collections.abc import Callable
from typing import Final

from sim.handmade import CLIENT, A, Handmade, job
from sim.happenings import KeptOut
from sim.oracles import Oracle
from sim.oracles.unique import FreeKeys, OneHolder

OPTIONS: Final = '{"unique": {"key": "k"}}'
LATER_S: Final = 60.0


def two_holders(made: Handmade) -> None:
    """A second job with the key is stored while the first has not even begun."""
    made.begin()
    made.enqueue(1, options=OPTIONS)
    made.enqueue(2, options=OPTIONS)


def kept_out_by_one_that_has_ended(made: Handmade) -> None:
    """Long after the end of the first a second one is not stored because of it."""
    made.begin()
    made.enqueue(1, options=OPTIONS)
    made.pull(1)
    made.run(1)
    made.commit(A, *made.leave(1), (None, made.completed(1)))
    made.say_stored(1)
    made.wait(2 * LATER_S)
    made.say(CLIENT, KeptOut(job=job(2), first=job(1), asked_s=LATER_S))


KEY_BREACHES: Final[dict[type[Oracle], Callable[[Handmade], None]]] = {
    OneHolder: two_holders,
    FreeKeys: kept_out_by_one_that_has_ended,
}
"""For each oracle the smallest trace that it must find something in."""
