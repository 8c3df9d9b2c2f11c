"""Histories of steps that share a worker, played by every run; the rule of `scripts.py` holds."""

from collections.abc import Mapping
from typing import Final

import msgspec

from sim.database.rows import FlowRow, JobRow
from sim.differential.arguments_of_same_worker import SHARED
from sim.differential.history import BASE, BEGIN, COMMIT, HOUR, ROLLBACK, WORKERS, History
from sim.differential.played import (
    C1,
    J1,
    J2,
    J3,
    PULL,
    W1,
    claim,
    commit,
    job,
    play,
    ready,
    scene,
    waiting,
    worker,
)
from sim.differential.scripts_of_flows import under_way

W2: Final = WORKERS[1]
STRANDED: Final = '{"name": "WorkerLost", "message": "x"}'
ANEW: Final = FlowRow(
    path="path", version=1, definition='{"on_worker_lost": "restart"}', created_at=BASE
)
GONE: Final = worker(1, stopped_at=BASE - HOUR)


def step(number: int) -> JobRow:
    """Its definition, when nobody but one worker may run it."""
    return msgspec.structs.replace(job(number), options=SHARED)


# fmt: off
SAME_WORKER_SCRIPTS: Final[Mapping[str, History]] = {
    "steps are handed over": play(
        scene(job(1), step(2), job(3), ready(1), ready(2, priority=5), ready(3), worker(1)),
        (0, BEGIN), (0, "hand_over", C1, W1, [J1, J2]), (1, *PULL), (0, COMMIT),
        (0, "adopt", W1, []), (0, "hand_over", C1, W1, [J1]),
    ),
    "what is not due, or waits, is not handed over": play(
        scene(job(1), job(2), ready(1, scheduled_for=BASE + HOUR), waiting(2), worker(1)),
        (0, "hand_over", C1, W1, [J1, J2, J3]), (0, "adopt", W1, []),
    ),
    "what is pulled meanwhile is not handed over": play(
        scene(job(1), job(2), ready(1), ready(2), worker(1)),
        (0, BEGIN), (0, *PULL), (1, "hand_over", C1, W1, [J1]), (0, COMMIT),
    ),
    "a step is not given to another worker": play(
        scene(step(1), job(2), claim(1, 1, 2), GONE), (0, "reap", 9, 3),
        (0, "job_states", [J1, J2]),
    ),
    "flows without their worker": play(
        scene(job(1), step(2), job(3), GONE, ANEW, under_way(J1, J1, worker=W1),
              under_way(J2, J1, worker=W1), under_way(J3, J3, worker=W2)),
        (0, "lost_flows", 9), (0, "lost_flows", 1), (0, "kept_flows", W1, [J1, J2, J3]),
        (0, BEGIN), (0, "lock_flows", [J1]), (1, "lock_flows", [J1]),
        (0, "read_lost_flows", [J1, J3], [W1, W2]), (0, "restart_flows", [J1, J2], [True, False]),
        (0, COMMIT), (0, "job_attempts", J1), (0, "lost_flows", 9),
    ),
    "what somebody still holds is not lost": play(
        scene(job(1), step(2), GONE, claim(1, 2), under_way(J1, J1, worker=W1)),
        (0, "lost_flows", 9), (0, *commit(1, 2)), (0, "lost_flows", 9),
    ),
    "whoever waits for a worker that is gone": play(
        scene(step(1), step(2), step(3), ready(1), waiting(2), claim(1, 3), GONE),
        (0, BEGIN), (0, "end_stranded", [J1, J2, J3], STRANDED), (1, *PULL),
        (2, "cancel_unstarted", [J1, J2], "enough", []), (0, ROLLBACK),
        (0, "end_stranded", [J1, J2, J3], STRANDED), (0, "ended_steps", [J1, J2, J3]),
    ),
    "a flow is begun anew while somebody ends it": play(
        scene(job(1), under_way(J1, J1, worker=W1), GONE, ANEW),
        (0, BEGIN), (0, "restart_flows", [J1], [True]),
        (1, "end_flows", [J1], ["success"], ["1"], [None], [1], [0], W1), (0, COMMIT),
    ),
}
# fmt: on
