"""Breaches of what is promised of cached results, each as small as can be."""

from collections.abc import Callable
from datetime import timedelta
from typing import Final

from sim.database.rows import ResultRow
from sim.handmade import A, Handmade, job
from sim.oracles import Oracle
from sim.oracles.reuse import Reused

OPTIONS: Final = '{"cache_ttl_s": 60.0}'


def kept_alone(made: Handmade) -> None:
    """A result is kept although the job has not succeeded."""
    made.begin()
    made.enqueue(1, options=OPTIONS)
    made.pull(1)
    row = ResultRow(
        key="k", job=job(1), result="1", stored_at=made.clock,
        expires_at=made.clock + timedelta(minutes=1),
    )  # fmt: skip
    made.commit(A, (None, row))


REUSE_BREACHES: Final[dict[type[Oracle], Callable[[Handmade], None]]] = {Reused: kept_alone}
