"""The breach of what is promised of handlers, as small as can be."""

from collections.abc import Callable
from typing import Final

from sim.handmade import A, Handmade
from sim.oracles import Oracle
from sim.oracles.follow_ups import Followed


def untold(made: Handmade) -> None:
    """A job ends well, and nobody is told."""
    made.begin()
    made.enqueue(1, options='{"on_success": {"path": "ok"}}')
    made.pull(1)
    made.run(1)
    made.commit(A, *made.leave(1), (None, made.completed(1)))


FOLLOWED_BREACHES: Final[dict[type[Oracle], Callable[[Handmade], None]]] = {Followed: untold}
