"""A breach of what is promised of statements that jobs hand over, as small as can be."""

from collections.abc import Callable
from typing import Final

from sim import handmade_schedules
from sim.database.rows import EffectRow
from sim.handmade import A, Handmade, job
from sim.handmade_endings import ENDING_BREACHES
from sim.oracles import Oracle
from sim.oracles.handed_over import HandedOver

PLAN: Final = handmade_schedules.PLAN


def effect_alone(made: Handmade) -> None:
    """What a job has handed over takes effect, and its success is not stored."""
    made.begin()
    said, marks = '{"attempt": 1, "execution": 1}', (0.5, 0.5)
    row = EffectRow(number=1, job=job(1), attempt=1, execution=1, said=said, marks=marks)
    made.commit(A, (None, row))


SORT_BREACHES: Final[dict[type[Oracle], Callable[[Handmade], None]]] = (
    handmade_schedules.SORT_BREACHES | ENDING_BREACHES | {HandedOver: effect_alone}
)
"""Those of the other sorts, and this one."""
