"""Breaches of what is promised of progress, each as small as can be."""

from collections.abc import Callable
from typing import Final

from sim.database.rows import ProgressRow
from sim.handmade import A, B, Handmade, job
from sim.oracles import Oracle
from sim.oracles.progress import ToldByItsOwn


def progress(made: Handmade, fraction: float, *, attempt: int = 1) -> ProgressRow:
    """What the first job has told, out of the first claim there is."""
    note = f"1 {attempt} {next(iter(made.claims))}"
    return ProgressRow(id=job(1), attempt=attempt, fraction=fraction, note=note, told_at=made.clock)


def told_by_another(made: Handmade) -> None:
    """A worker tells of a job that another one runs."""
    made.begin(A)
    made.begin(B)
    made.enqueue(1)
    made.pull(1)
    made.start(1)
    made.commit(B, (None, progress(made, 0.5)))


PROGRESS_BREACHES: Final[dict[type[Oracle], Callable[[Handmade], None]]] = {
    ToldByItsOwn: told_by_another
}
