"""Dedicated scripts: one long-lived process per script, many jobs on the way to it at once."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from random import Random
from typing import Final

import msgspec
import trio

from trioworker.model.job import Job
from trioworker.model.options import RetryPolicy
from trioworker.model.outcome import Failed, Outcome, handing_over
from trioworker.runners.framing import job_line
from trioworker.runners.host_group import HostGroup, HostLimits
from trioworker.runners.host_process import CLOSE_GRACE_S, HostCommand
from trioworker.runners.joblog import JobLog
from trioworker.runners.raised import NotRunnable
from trioworker.runners.script_output import ScriptOutput
from trioworker.runners.scripts import Finder, Script

SCRIPTS_MAX: Final = 8

_Key = tuple[str, str | None]
_encode = msgspec.json.Encoder().encode


class DedicatedRunner:
    """Runs a script's `main` for each job, in the order in which they come.

    At most `scripts_max` processes live at once; the least recently used one gives way. A script
    whose file has changed gets a new process for new jobs while the old one finishes its own.
    """

    def __init__(
        self,
        scripts: Finder,
        rng: Random,
        *,
        limits: HostLimits = HostLimits(),  # noqa: B008 - frozen
        scripts_max: int = SCRIPTS_MAX,
    ) -> None:
        self.run_now: Callable[[Job], Outcome] | None = None
        self._scripts = scripts
        self._rng = rng
        self._limits = limits
        self._slots = trio.CapacityLimiter(scripts_max)
        self._groups: dict[_Key, tuple[Script, HostGroup]] = {}

    def retry_of(self, _job: Job) -> RetryPolicy | None:
        """Nothing: of scripts only their jobs say it."""
        return None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Processes live inside this context. They may finish by themselves, then are killed."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            yield
            for _, group in self._groups.values():
                group.finish()
            nursery.cancel_scope.deadline = trio.current_time() + CLOSE_GRACE_S
        self._groups.clear()

    async def run(self, job: Job, log: JobLog) -> Outcome:
        """Run one job; see `Runner`."""
        try:
            script = await self._scripts.found(job.path, job.options.language)
            return await self.run_script(script, job, log)
        except NotRunnable as error:
            return Failed(error.error)

    async def run_script(self, script: Script, job: Job, log: JobLog) -> Outcome:
        """Run one job of a script that was found just now. Raises `NotRunnable`."""
        group = self._group(script, job)
        output = ScriptOutput(log)
        shared = "" if log.shared is None else f'"shared":{_encode(str(log.shared)).decode()},'
        line = partial(job_line, args=job.args, extra=shared)
        try:
            outcome = await group.call(line, log, write=output.write)
        finally:
            output.close()
        return handing_over(outcome, ())  # whatever it answers: only functions may

    def _group(self, script: Script, job: Job) -> HostGroup:
        key = (job.path, job.options.language)
        known = self._groups.get(key)
        if known is not None and known[0] is script:
            return known[1]
        if script.host is None:
            raise NotRunnable("NotDedicated", f"scripts like '{job.path}' cannot be dedicated")
        if known is not None:
            known[1].finish()
        self._forget_dormant()
        group = self._new_group(script, script.host)
        self._groups[key] = (script, group)
        return group

    def _new_group(self, script: Script, host: object) -> HostGroup:
        return HostGroup(
            HostCommand((*script.command, str(host)), (str(script.file),), script.file.parent),
            self._limits,
            self._nursery,
            self._rng,
            slots=self._slots,
            crowded=self._make_room,
        )

    def _forget_dormant(self) -> None:
        self._groups = {k: known for k, known in self._groups.items() if not known[1].dormant}

    def _make_room(self) -> None:
        """Ask the least recently used process to leave, an idle one before a busy one."""
        live = [group for _, group in self._groups.values() if group.live_hosts]
        if live:
            min(live, key=lambda group: (not group.idle, group.used_s)).give_way()
