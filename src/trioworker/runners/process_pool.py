"""CPU-bound functions: a few processes, one job at a time in each.

A job that takes its process down fails alone, with the way the process ended; to cancel a job is
to kill its process. Processes are started when needed and stay until they have been idle long.
"""

import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from random import Random
from typing import Any

import msgspec
import trio

from trioworker.app import JobFunction
from trioworker.model.job import Job
from trioworker.model.outcome import Outcome, Succeeded
from trioworker.runners.chunks import Member
from trioworker.runners.framing import ended, job_line, read_replies
from trioworker.runners.function_host import BOOT
from trioworker.runners.host_call import learn
from trioworker.runners.host_group import HostGroup, HostLimits
from trioworker.runners.host_process import CLOSE_GRACE_S, HostCommand
from trioworker.runners.joblog import JobLog
from trioworker.runners.raised import failed


class ProcessPool:
    """At most `processes` processes, by default one for each CPU."""

    def __init__(self, rng: Random, *, processes: int | None = None) -> None:
        self._rng = rng
        self._limits = HostLimits(window=1, processes=processes or os.cpu_count() or 1)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """The processes live inside this context."""
        async with trio.open_nursery() as nursery:
            command = HostCommand((sys.executable, "-c", BOOT), (json.dumps(sys.path),))
            self._group = HostGroup(command, self._limits, nursery, self._rng)
            yield
            self._group.finish()
            nursery.cancel_scope.deadline = trio.current_time() + CLOSE_GRACE_S

    async def run(self, function: JobFunction[..., Any], job: Job, log: JobLog) -> Outcome:
        """Run one job in one of the processes."""
        return await self._call(function, {"context": _context(job, log)}, job.args, log)

    async def run_chunk(
        self, function: JobFunction[..., Any], members: Sequence[Member], log: JobLog
    ) -> Sequence[Outcome]:
        """Run a chunk function in one of the processes; the outcomes of `members`."""
        contexts = [_context(member.job, member.log) for member in members]
        args = msgspec.json.encode([member.job.args for member in members]).decode()
        logs = [member.log for member in members]
        outcome = await self._call(function, {"contexts": contexts}, args, log, logs)
        if not isinstance(outcome, Succeeded):
            return [outcome] * len(members)
        try:
            replies = read_replies(outcome.result)
        except RecursionError:
            too_deep = failed("InvalidResult", "a result of this chunk is nested too deeply")
            return [too_deep] * len(members)
        for member, reply in zip(members, replies, strict=True):
            learn(member.log, reply)
        return [ended(reply) for reply in replies]

    async def _call(
        self,
        function: JobFunction[..., Any],
        named: dict[str, object],
        args: str,
        log: JobLog,
        members: Sequence[JobLog] = (),
    ) -> Outcome:
        target = function.function
        if target.__module__ == "__main__":
            return failed(
                "NotImportable",
                f"job '{function.name}' is defined in the program that was started, where another"
                " process cannot find it; move it to a module",
            )
        named["call"] = _name_of(target)
        if function.retry_if is not None:
            named["retry_if"] = _name_of(function.retry_if)
        extra = f"{msgspec.json.encode(named).decode()[1:-1]},"
        line = partial(job_line, args=args, extra=extra)
        return await self._group.call(line, log, members=members)


def _context(job: Job, log: JobLog) -> Mapping[str, object]:
    shared = None if log.shared is None else str(log.shared)
    return {"id": job.id, "attempt": job.attempt, "tag": job.tag, "shared": shared}


def _name_of(function: Callable[..., Any]) -> Mapping[str, str]:
    return {"module": function.__module__, "function": function.__qualname__}
