"""The fixtures of trioworker for pytest, which finds them by itself.

Rule of this file: it stands beside the package and imports nothing of it until a test asks, so that
a run of pytest that uses no fixture of ours pays nothing for them.
"""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from trioworker import App
    from trioworker.testing import MemoryQueue


@pytest.fixture
def trioworker_app() -> "App | None":
    """The app whose jobs are tested; a fixture of the same name in your conftest.py returns it."""
    return None


@pytest.fixture
def trioworker_queue(trioworker_app: "App | None") -> "MemoryQueue":
    """A queue in memory for each test, which checks and runs the jobs of `trioworker_app`."""
    from trioworker.testing import MemoryQueue  # noqa: PLC0415 - the rule of this file

    return MemoryQueue(trioworker_app)
