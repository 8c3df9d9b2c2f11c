"""Runners for tests that need one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest

from tests.runners.jobs import Open
from trioworker.runners.dedicated import DedicatedRunner
from trioworker.runners.host_group import HostLimits
from trioworker.runners.scripts import Scripts


@pytest.fixture
def opened(tmp_path: Path) -> Open:
    """Opens a runner over `tmp_path` with the given limits."""

    @asynccontextmanager
    async def open_runner(
        scripts_max: int = 8, *, window: int = 100, start_timeout_s: float = 10, idle_s: float = 60
    ) -> AsyncIterator[DedicatedRunner]:
        limits = HostLimits(window=window, start_timeout_s=start_timeout_s, idle_s=idle_s)
        runner = DedicatedRunner(
            Scripts(tmp_path), Random(1), limits=limits, scripts_max=scripts_max
        )
        async with runner.open():
            yield runner

    return open_runner
