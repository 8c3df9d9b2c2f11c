"""cache: between pull and execute, ends jobs whose result an equal job has left.

Such a job never takes a slot. One look is for a whole batch, and only when one of its jobs asks for
it. A look that fails costs a run: the jobs are run as if there had been nothing.
"""

from collections.abc import Sequence

import trio

from trioworker.errors import StoreError
from trioworker.events import LookupFailed
from trioworker.model.cache import asks, hits, result_key
from trioworker.model.failures import classify
from trioworker.model.job import Job
from trioworker.model.outcome import Executed
from trioworker.worker.channel import BatchChannel
from trioworker.worker.config import Context


class Cache:
    """The looks of one worker."""

    def __init__(self, context: Context, *, outcomes: BatchChannel[Executed]) -> None:
        self._config = context.config
        self._worker = context.worker
        self._store = context.store
        self._emit = context.emit
        self._report_end = context.report_end
        self._outcomes = outcomes

    def asking(self, jobs: Sequence[Job]) -> Sequence[Job]:
        """Those of the `jobs` that would take the result of an equal one."""
        return [job for job in jobs if asks(job) and self._in_time(job)]

    async def look_up(self, asking: Sequence[Job]) -> Sequence[Executed]:
        """The ends of those of the jobs `asking` that need not be run."""
        ends: list[Executed] = []
        size = self._config.sizes.pull
        try:
            for start in range(0, len(asking), size):
                part = asking[start : start + size]
                found = await self._store.cached_results(
                    list(dict.fromkeys(result_key(job) for job in part))
                )
                ends += hits(part, found, now_s=trio.current_time())
        except StoreError as error:
            failure, message = classify(error), str(error)
            self._emit(LookupFailed(worker=self._worker, failure=failure, message=message))
        return ends

    async def end(self, ends: Sequence[Executed]) -> None:
        """Send the ends on to be stored, as many at a time as there is room for."""
        sent = 0
        try:
            while sent < len(ends):
                await self._outcomes.room()
                part = ends[sent : sent + self._outcomes.free]
                self._send(part)
                sent += len(part)
        finally:
            # However the wait ended, the jobs are claimed, and their ends are not lost.
            self._send(ends[sent:])

    def _send(self, ends: Sequence[Executed]) -> None:
        self._outcomes.put(ends)
        for one in ends:
            self._report_end(one)

    def _in_time(self, job: Job) -> bool:
        return job.deadline_s is None or trio.current_time() < job.deadline_s
