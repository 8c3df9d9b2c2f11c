"""Jobs that install what a version of a deployed script requires; their result is its lock."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random

import msgspec

from trioworker.model.job import Job
from trioworker.model.options import RetryPolicy
from trioworker.model.outcome import Failed, Outcome, Succeeded
from trioworker.model.script import version_in
from trioworker.runners.deployed import fetch
from trioworker.runners.installing import INSTALLERS, Wanted
from trioworker.runners.joblog import JobLog
from trioworker.runners.packages import Packages
from trioworker.runners.raised import NotRunnable, failed
from trioworker.store.scripts import ScriptStore


class DependenciesRunner:
    """Resolves and installs into the worker's cache folder, where its scripts find it."""

    def __init__(self, store: ScriptStore, packages: Packages, rng: Random) -> None:
        self.run_now: Callable[[Job], Outcome] | None = None
        self._store = store
        self._packages = packages
        self._rng = rng

    def retry_of(self, _job: Job) -> RetryPolicy | None:
        """Nothing: what cannot be installed now is tried again when it is deployed again."""
        return None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """The packages are the script runner's, too: this one is opened before that."""
        async with self._packages.open():
            yield

    async def run(self, job: Job, log: JobLog) -> Outcome:
        """Run one job; see `Runner`."""
        version = version_in(job.args)
        if version is None:
            return failed("InvalidArguments", 'the arguments are {"version": …}, of a script')
        try:
            head = (await fetch(self._store, job.path, version, self._rng)).head
            if not head.requirements or head.language not in INSTALLERS:
                return Succeeded(b"[]")
            wanted = Wanted(head.requirements, head.lock)
            installed = await self._packages.get(head.language, wanted)
        except NotRunnable as error:
            return Failed(error.error)
        log.write(installed.printed)
        return Succeeded(msgspec.json.encode(installed.lock))
