"""The processes that share one queue of jobs: started when jobs wait, replaced when they die.

A dedicated script is a group of one process with a wide window; the pool for CPU-bound functions
is a group of several with a window of one job each.

A job is never lost here: it waits, or is in the hands of one process, or has its outcome. It is
handed out twice only if its first process died before it began.
"""

from collections import deque
from collections.abc import Callable, Sequence
from itertools import count
from random import Random
from typing import Final

import msgspec
import trio

from trioworker.model.outcome import Failed, JobError, Outcome
from trioworker.runners.host_call import HostCall
from trioworker.runners.host_process import HostCommand, HostProcess
from trioworker.runners.joblog import JobLog
from trioworker.runners.raised import failed

START_FAILURES_MAX: Final = 3
"""So many starts in a row may fail before the jobs that wait fail with the reason."""
BACKOFF_FIRST_S: Final = 0.1
BACKOFF_MAX_S: Final = 5.0


class HostLimits(msgspec.Struct, frozen=True, kw_only=True):
    """`window` jobs are in the hands of one process, of which there are at most `processes`.

    A process has `start_timeout_s` seconds to get ready and is closed when idle for `idle_s`.
    """

    window: int = 100
    processes: int = 1
    start_timeout_s: float = 10.0
    idle_s: float = 60.0


class HostGroup:
    """Runs jobs in processes started by `command`, whose tasks live in `nursery`.

    `slots`, shared by several groups, bounds how many processes live at once; `crowded` is called
    when this group is about to wait for one.
    """

    def __init__(
        self,
        command: HostCommand,
        limits: HostLimits,
        nursery: trio.Nursery,
        rng: Random,
        *,
        slots: trio.CapacityLimiter | None = None,
        crowded: Callable[[], None] = lambda: None,
    ) -> None:
        self._command = command
        self._limits = limits
        self._nursery = nursery
        self._rng = rng
        self._slots = slots or trio.CapacityLimiter(limits.processes)
        self._crowded = crowded
        self._ids = count(1)
        self._waiting: deque[HostCall] = deque()
        self._hosts: list[HostProcess] = []
        self._keepers = 0
        self._start_failures = 0
        self._not_before_s = 0.0
        self._finishing = False
        self.used_s = 0.0

    @property
    def dormant(self) -> bool:
        """No process, nothing waiting, nothing to remember."""
        return not (self._keepers or self._waiting or self._start_failures)

    @property
    def live_hosts(self) -> int:
        """How many processes run and were not told to leave."""
        return sum(not host.closing for host in self._hosts)

    @property
    def idle(self) -> bool:
        """Whether its processes have nothing to do."""
        return not self._waiting and all(host.idle for host in self._hosts)

    async def call(
        self,
        line: Callable[[int], bytes],
        log: JobLog,
        *,
        write: Callable[[str], None] | None = None,
        members: Sequence[JobLog] = (),
    ) -> Outcome:
        """Run one job: `line` makes its line from its number. What it prints goes to `log`.

        By way of `write`, if given; `members` are the logs of the jobs of a chunk. When cancelled,
        a job that has not begun never will, and one that runs is killed.
        """
        self.used_s = trio.current_time()
        number = next(self._ids)
        call = HostCall(number, line(number), log, write=write, members=members)
        self._waiting.append(call)
        if not self._fill_a_host():
            self._start_a_keeper()
        try:
            return await call.wait()
        except trio.Cancelled:
            self._drop(call)
            raise

    def give_way(self) -> None:
        """Leave the processes to others as soon as the jobs in their hands are done."""
        for host in self._hosts:
            host.give_way()

    def finish(self) -> None:
        """Do what was asked so far, then go; nothing more will be asked."""
        self._finishing = True
        for host in self._hosts:
            host.finish()

    def _fill_a_host(self) -> bool:
        for host in self._hosts:
            if host.has_room:
                host.fill()
                return True
        return False

    def _start_a_keeper(self) -> None:
        coming = self._keepers - sum(host.closing for host in self._hosts)
        if coming < self._limits.processes:
            self._keepers += 1
            self._nursery.start_soon(self._keep)

    def _drop(self, call: HostCall) -> None:
        for host in self._hosts:
            if host.holds(call):
                host.drop(call)
                return
        if call in self._waiting:
            self._waiting.remove(call)

    async def _keep(self) -> None:
        """Keep one process alive for as long as jobs wait for one."""
        try:
            while self._waiting and self._keepers <= self._limits.processes:
                await trio.sleep_until(self._not_before_s)
                if not self._slots.available_tokens:
                    self._crowded()
                async with self._slots:
                    await self._live_once()
                self._fill_a_host()
        finally:
            self._keepers -= 1

    async def _live_once(self) -> None:
        host = HostProcess(
            self._waiting,
            window=self._limits.window,
            start_timeout_s=self._limits.start_timeout_s,
            idle_s=self._limits.idle_s,
        )
        if self._finishing:
            host.finish()
        self._hosts.append(host)
        try:
            await host.live(self._command)
        except OSError as error:
            program = self._command.program[0]
            self._back_off(JobError("StartFailed", f"{program} cannot be started: {error}"))
            return
        finally:
            self._hosts.remove(host)
            self._take_back(host)
        self._learn_from(host)

    def _take_back(self, host: HostProcess) -> None:
        blamed, others = host.remains()
        self._waiting.extendleft(reversed(others))
        if blamed is not None:
            blamed.end(failed("ProcessDied", host.death(blamed.log.text())))

    def _learn_from(self, host: HostProcess) -> None:
        if host.refused is not None:
            error = host.refused
            self._fail_waiting(failed("StartRefused", f"{error.name}: {error.message}").error)
        elif host.ready:
            self._start_failures = 0
        elif not host.closing:
            self._back_off(host.start_failure())

    def _back_off(self, error: JobError) -> None:
        delay_s = min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2.0**self._start_failures)
        self._not_before_s = trio.current_time() + delay_s * self._rng.uniform(0.5, 1.0)
        self._start_failures += 1
        if self._start_failures >= START_FAILURES_MAX:
            self._fail_waiting(error)

    def _fail_waiting(self, error: JobError) -> None:
        while self._waiting:
            self._waiting.popleft().end(Failed(error))
