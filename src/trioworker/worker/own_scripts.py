"""Scripts of the worker's own: one before its first pull, one again and again beside the jobs.

They are run outside the queue, as one-shot scripts of the scripts folder: what a machine needs is
that machine's affair, so they are not deployed. Nothing of them is stored; what they print goes
into the worker's log.
"""

from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import trio

from trioworker.errors import InitScriptFailed
from trioworker.events import Emit, ScriptFailed, ScriptRan
from trioworker.model.job import UNCLAIMED, Job
from trioworker.model.options import NO_OPTIONS
from trioworker.model.outcome import Failed, JobError
from trioworker.runners.joblog import JobLog
from trioworker.runners.script import OneShotRunner
from trioworker.runners.scripts import Scripts

INIT: Final = "init_script"
PERIODIC: Final = "periodic_script"
LOG_CHARS_MAX: Final = 4_000

_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)


class OwnScripts:
    """Runs scripts of one folder and tells how they ended."""

    def __init__(self, folder: Scripts, emit: Emit) -> None:
        self._runner = OneShotRunner(folder, at_once=1)
        self._emit = emit

    async def begin(self, path: str) -> None:
        """Run the init script. Raises `InitScriptFailed`."""
        error = await self._run(INIT, path)
        if error is not None:
            raise InitScriptFailed(
                f"the init script '{path}' failed, so the worker does not start: {error.name}:"
                f" {' '.join(error.message.split())}"
            )

    async def repeat(self, path: str, every_s: float) -> None:
        """Run the periodic script until cancelled; a failure is told and changes nothing.

        Its beginnings are `every_s` seconds apart, unless it takes longer.
        """
        while True:
            due_s = trio.current_time() + every_s
            await self._run(PERIODIC, path)
            await trio.sleep_until(due_s)

    async def _run(self, what: str, path: str) -> JobError | None:
        log = JobLog(LOG_CHARS_MAX)
        began_s = trio.current_time()
        outcome = await self._runner.run(_job(what, path), log)
        seconds, text = trio.current_time() - began_s, log.text()
        if not isinstance(outcome, Failed):
            self._emit(ScriptRan(what=what, path=path, seconds=seconds, log=text))
            return None
        message = f"{outcome.error.name}: {outcome.error.message}"
        self._emit(ScriptFailed(what=what, path=path, seconds=seconds, message=message, log=text))
        return outcome.error


def _job(what: str, path: str) -> Job:
    """What the script is told of itself."""
    return Job(
        UUID(int=0), UNCLAIMED, 1, 0, "script", path, "{}", what, 0, _LONG_AGO, awaited=False,
        options=NO_OPTIONS,
    )  # fmt: skip
