"""A breach of what is promised of statements that jobs hand over, as small as can be."""

from collections.abc import Callable
from typing import Final

from sim import handmade_schedules
from sim.database.rows import EffectRow
from sim.handmade import A, Handmade, job
from sim.oracles import Oracle
from sim.oracles.handed_over import HandedOver

PLAN: Final = handmade_schedules.PLAN


def effect_alone(made: Handmade) -> None:
    """What a job has handed over takes effect, and its success is not stored."""
    made.begin()
    made.commit(A, (None, EffectRow(number=1, job=job(1), attempt=1, execution=1)))


SORT_BREACHES: Final[dict[type[Oracle], Callable[[Handmade], None]]] = (
    handmade_schedules.SORT_BREACHES | {HandedOver: effect_alone}
)
"""Those of the other sorts, and this one."""
