"""Bounds of the product that are far away in life and near in some runs.

What goes on where a sweep has done enough, or a batch has too many bytes, would take a thousand
jobs, or an hour: more than a run has. So a plan that is `narrow` moves the bounds, and nothing
else.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import Final

from sim.plan import Plan
from sim.replace import replaced
from trioworker.model import batching, cache, schedule, ticks
from trioworker.store.postgres import approvals, schedules, store, unique
from trioworker.worker import execute, maintenance

RESULT_BYTES_MAX: Final = 10_000
NARROW: Final[tuple[tuple[object, str, object], ...]] = (
    (batching, "BYTES_MAX", 1_000),
    (cache, "CACHED_BYTES_MAX", 100),
    (execute, "RESULT_BYTES_MAX", RESULT_BYTES_MAX),
    (store, "DELETED_PER_SWEEP_MAX", 2),
    (store, "FORGET_RESULTS_PER_SWEEP_MAX", 2),
    (store, "KEYS_PER_ROUND_MAX", 1),
    (store, "KEY_ROUNDS_MAX", 2),
    (unique, "LOOK_AFTER_S", 2.0),
    (store, "DUE_PER_SWEEP_MAX", 1),
    (schedules, "DUE_PER_SWEEP_MAX", 1),
    (schedule, "HORIZON", timedelta(seconds=2)),
    (schedule, "TICKS_AT_ONCE_MAX", 1),
    (ticks, "LOOK_BACK", (timedelta(seconds=0.5), timedelta(seconds=1.5))),
    (approvals, "APPROVALS_PER_SWEEP_MAX", 1),
    (store, "APPROVALS_PER_SWEEP_MAX", 1),
    (store, "CANCELS_PER_SWEEP_MAX", 1),
    (maintenance, "FLOW_ROUNDS_MAX", 2),
    (maintenance, "SCHEDULE_ROUNDS_MAX", 2),
    (maintenance, "DELETE_ROUNDS_MAX", 2),
    (maintenance, "TIDY_EVERY_SWEEPS", 2),
)
"""Where each of them stands, its name, and what it is in a narrow run."""


@contextmanager
def bounds_of(plan: Plan) -> Iterator[None]:
    """Inside the block the bounds are as the plan wants them."""
    with ExitStack() as moved:
        for owner, name, value in NARROW if plan.narrow else ():
            moved.enter_context(replaced(owner, name, value))
        yield
