"""deployed: between pull and execute, learns which versions of deployed scripts are the newest.

One look is for a whole batch, and only when one of its jobs is a script: so a job that was enqueued
after a deploy is never run by an older version, wherever it is pulled. While the store cannot be
reached the look is repeated: an outage must not decide which version runs.
"""

from collections.abc import Sequence
from typing import Final

import trio

from trioworker.errors import StoreError
from trioworker.events import LookupFailed
from trioworker.model.failures import Failure, backoff_s, classify
from trioworker.model.job import Job
from trioworker.worker.config import Context

SCRIPT: Final = "script"

_FOR_GOOD: Final = frozenset({Failure.REFUSED, Failure.UNKNOWN})
"""Of these a server dies that knows no deployed scripts yet: then there are none."""


class DeployedTask:
    """The looks of one worker."""

    def __init__(self, context: Context) -> None:
        self._scripts = context.scripts
        self._worker = context.worker
        self._emit = context.emit
        self._rng = context.ports.rng

    def asking(self, jobs: Sequence[Job]) -> Sequence[str]:
        """The paths of those of the `jobs` that may be deployed scripts."""
        if self._scripts is None:
            return ()
        return list(dict.fromkeys(job.path for job in jobs if job.kind == SCRIPT))

    async def look_up(self, paths: Sequence[str]) -> None:
        """Learn the newest versions at these paths."""
        assert self._scripts is not None
        tries = 0
        while True:
            try:
                await self._scripts.look(paths)
            except StoreError as error:
                failure, message = classify(error), str(error)
                self._emit(LookupFailed(worker=self._worker, failure=failure, message=message))
                if failure in _FOR_GOOD:
                    return
                tries += 1
                await trio.sleep(backoff_s(tries, self._rng))
            else:
                return
