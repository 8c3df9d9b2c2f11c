"""What every test of the repository shares: how Hypothesis behaves here, and what Ctrl-C does."""

import gc
import os
import signal
from collections.abc import Generator
from typing import Final

import pytest
from hypothesis import settings
from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]  # has no types

LONGEST: Final = (
    "test_seeds.py", "test_running_pages.py", "test_zoo.py", "test_differential.py",
    "test_tutorial.py", "test_bench.py", "test_embedded.py", "test_leases.py", "test_real.py",
    "test_agents_killed.py", "test_examples.py", "test_determinism.py", "test_many_agents.py",
    "test_looks.py", "test_plans.py", "test_plan_costs.py", "test_every_sort.py",
)  # fmt: skip
"""Files that would keep one process busy when the others have nothing left: they go first."""
OF_A_MILLION: Final = ("test_plans.py", "test_plan_costs.py")
"""Files whose tests look at the same million of jobs, which take long to enqueue."""

# A slow machine is no failure, and a run that failed must fail again when it is looked at.
settings.register_profile("house", deadline=None, derandomize=True)
settings.load_profile("house")

# A shell starts what it runs in the background deaf to Ctrl-C, and our programs would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Leave the tests themselves out of every search for garbage: none of them ever is any.

    A run of the simulator begins with such a search, which took longer than many of the runs.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Hand the longest files out first; all others stay in their order."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


class _Together(LoadFileScheduling):  # type: ignore[misc]  # xdist is not annotated
    """Each file in one process, and those that share what is costly in the same one."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return "a million" if file.endswith(OF_A_MILLION) else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Who shares the tests out among the processes, unless another way is asked for."""
    return _Together(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: most tests wait for processes and servers."""
    return (os.cpu_count() or 1) + 1
