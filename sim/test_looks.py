"""Workers that know when a window passes do not all look at the same line at the same time."""

from sim.plan import Plan, Sizes
from sim.run import run
from trioworker.events import StatementRun

TIMES_THE_WORK = 2.4
"""Four workers that looked together would do it 3.2 times in these runs."""


def looks_by(workers: int) -> int:
    """How often, over some runs, keys were looked at and locked because of the time."""
    looks = 0
    for seed in range(6):
        sizes = Sizes(workers=workers, sweep_s=0.5)
        plan = Plan(seed=seed, sizes=sizes, jobs=["ok"] * 40, limits=(2,), window_s=0.3)
        result = run(plan)
        assert result.findings == []
        statements = [h.event for h in result.trace if isinstance(h.event, StatementRun)]
        looks += sum(statement.name == "due_limits" for statement in statements)
    return looks


def test_workers_spread_their_looks_at_a_window() -> None:
    """Most of them find that another one was there before, which costs one small statement."""
    assert looks_by(4) < TIMES_THE_WORK * looks_by(1)
