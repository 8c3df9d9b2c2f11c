"""What every test of the repository shares: how Hypothesis behaves here, and what Ctrl-C does."""

import gc
import os
import signal
from collections.abc import Generator
from typing import Final

import pytest
from hypothesis import settings

LONGEST: Final = ("test_zoo.py", "test_differential.py", "test_real.py")
"""Files that would keep one process busy when the others have nothing left: they go first."""

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
    items.sort(key=lambda item: item.path.name not in LONGEST)


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: most tests wait for processes and servers."""
    return (os.cpu_count() or 1) + 1
