"""Histories of children and steps that every run plays; the rule of `scripts.py` holds here."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from sim.differential.history import BEGIN, COMMIT, ROLLBACK, History
from sim.differential.played import (
    C1,
    J1,
    J2,
    J3,
    W1,
    W2,
    claim,
    commit,
    enqueue,
    failed,
    job,
    play,
    scene,
    worker,
)


def hold(id_: UUID, tries: int = 1, attempt: int = 1) -> Sequence[Any]:
    """The statement that holds a parent."""
    return ("hold_parents", W1, [C1], [id_], [attempt], [tries])


def step(id_: UUID, name: str, result: str = "1", attempt: int = 1) -> Sequence[Any]:
    """The statement that stores what a step returned."""
    return ("store_steps", W1, [C1], [id_], [attempt], [name], [result])


def known(*ids: UUID) -> Sequence[Any]:
    """The statement that asks for children of job 1."""
    many = len(ids)
    return ("known_children", list(ids), [J1] * many, ["noop"] * many, ["path"] * many,
            ['{"n":1}'] * many)  # fmt: skip


RUNS: Final = scene(job(1), job(3), claim(1, 1), worker(1), worker(2), failed(3))

# fmt: off
WORKFLOW_SCRIPTS: Final[Mapping[str, History]] = {
    "a parent from its first child to its end": play(
        RUNS, (0, BEGIN), (0, *hold(J1)), (0, *enqueue(2, parents=[J1])), (0, COMMIT),
        (0, *known(J2, J3)), (0, "child_ends", [J1, J2, J3]), (0, "own_children", W1, [J2, J3]),
        (0, "own_children", W2, [J2]), (0, "children", J1, 9), (0, *step(J1, "s")),
        (0, *step(J1, "s", "2")), (0, *step(J1, "t", attempt=2)), (0, "job_steps", J1),
        (0, "ended_parents", 9), (0, *commit(1, 1)), (0, BEGIN), (0, "ended_parents", 9),
        (1, *hold(J1)), (0, "forget_parents", [J1]), (0, COMMIT), (0, "delete_jobs", [J1]),
        (0, "job_steps", J1),
    ),
    "a later try notes itself, an earlier one does not": play(
        RUNS, (0, BEGIN), (0, *hold(J1, 2)), (1, *hold(J1, 3)), (0, COMMIT), (0, *hold(J1, 1)),
        (0, BEGIN), (0, *hold(J1, 4)), (0, ROLLBACK),
    ),
    "a parent ends while its child is enqueued": play(
        RUNS, (0, BEGIN), (0, *hold(J1)), (1, *commit(1, 1)), (0, *enqueue(2, parents=[J1])),
        (0, COMMIT), (0, *hold(J1)), (0, *step(J1, "s")),
    ),
    "a retry by hand waits for the end of a failed parent": play(
        scene(job(1), failed(1), job(2), claim(1, 2), worker(1)), (0, *hold(J2)), (0, BEGIN),
        (0, "ended_parents", 9), (1, "requeue_jobs", [J1]), (0, "forget_parents", [J1, J2]),
        (0, COMMIT),
    ),
}
# fmt: on
