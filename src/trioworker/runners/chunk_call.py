"""The call of a chunk function, wherever it runs: in a worker or in a process of its own.

Rule of this file: as `raised.py`, it knows neither Trio nor asyncio.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from trioworker.app import Call, RetryIf
from trioworker.model.outcome import Outcome, handing_over
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
        self._calls = calls
        self._retry_if = retry_if
        self.outcomes: Sequence[Outcome] = ()

    def call(self) -> None:
        """For plain functions."""
        self._settle(self._start())

    async def acall(self) -> None:
        """For coroutines."""
        self._settle(await self._start())

    def _settle(self, value: object) -> None:
        """Each job that succeeded has what it has handed over itself."""
        ends = each_returned(value, calls=len(self._calls), retry_if=self._retry_if)
        self.outcomes = [
            handing_over(end, call.statements) if isinstance(call, Call) else end
            for end, call in zip(ends, self._calls, strict=True)
        ]
