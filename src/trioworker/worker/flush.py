"""flush: stores what running jobs wrote and told, all of them in one statement, every so often.

It goes by a connection of its own, so that nobody waits for it but a commit of the very jobs. One
that fails is reported and forgotten: what it was to store goes with the next one, or with the
outcome.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import trio

from trioworker.errors import StoreError
from trioworker.events import FlushFailed
from trioworker.model.failures import classify
from trioworker.model.running import Said
from trioworker.runners.joblog import JobLog
from trioworker.worker.config import Context
from trioworker.worker.execute import Execute

CHARS_MAX: Final = 4 * 1024 * 1024
"""What one statement may carry; what is more goes with the next one."""


class Flush:
    """The flushes of one worker."""

    def __init__(self, context: Context, *, execute: Execute) -> None:
        self._config = context.config
        self._worker = context.worker
        self._store = context.store
        self._emit = context.emit
        self._execute = execute

    async def run(self) -> None:
        """Flush until cancelled."""
        while True:
            await trio.sleep(self._config.log_flush_s)
            await self._flush()

    async def _flush(self) -> None:
        try:
            for logs, said in list(self._parts()):
                await self._store.store_running(self._worker, said)
                for log in logs:
                    log.accept()
        except StoreError as error:
            failure, message = classify(error), str(error)
            self._emit(FlushFailed(worker=self._worker, failure=failure, message=message))

    def _parts(self) -> Iterator[tuple[Sequence[JobLog], Sequence[Said]]]:
        """What each statement carries: no more jobs than a commit may, and no job twice."""
        logs: dict[tuple[object, int], JobLog] = {}
        said: list[Said] = []
        chars = 0
        for job, log in self._execute.running():
            text = log.offer()
            progress = log.progress.offer()
            if not (text or progress) or (job.id, job.attempt) in logs:
                continue
            logs[job.id, job.attempt] = log
            said.append(Said(job, log.chunk, text, progress))
            chars += len(text)
            if len(said) >= self._config.sizes.commit or chars >= CHARS_MAX:
                yield list(logs.values()), said
                logs, said, chars = {}, [], 0
        if said:
            yield list(logs.values()), said
