"""The call of a chunk function, wherever it runs: in a worker or in a process of its own.

Rule of this file: as `raised.py`, it knows neither Trio nor asyncio.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from trioworker.app import RetryIf
from trioworker.model.outcome import Outcome
from trioworker.runners.raised import each_returned


class ChunkCall:
    """A call that looks like one job's, and keeps what became of each of its jobs in `outcomes`.

    They are made where the function runs. None are there when it raised: then what became of the
    call is what becomes of each job.
    """

    def __init__(
        self,
        function: Callable[[list[object]], Any],
        calls: list[object],
        retry_if: RetryIf | None,
    ) -> None:
        self._start = partial(function, calls)
        self._settle = partial(each_returned, calls=len(calls), retry_if=retry_if)
        self.outcomes: Sequence[Outcome] = ()

    def call(self) -> None:
        """For plain functions."""
        self.outcomes = self._settle(self._start())

    async def acall(self) -> None:
        """For coroutines."""
        self.outcomes = self._settle(await self._start())
