"""One job on its way through a host process, and the task that waits for it."""

import trio

from trioworker.model.outcome import Outcome
from trioworker.runners.joblog import JobLog


class HostCall:
    """A job as its host sees it: `id` is its number in the lines, `line` the one that runs it.

    `outcome` is None until it has ended. `dropped` says that nobody waits for it any more.
    """

    __slots__ = ("_waiter", "dropped", "id", "line", "log", "outcome")

    def __init__(self, call_id: int, line: bytes, log: JobLog) -> None:
        self.id = call_id
        self.line = line
        self.log = log
        self.outcome: Outcome | None = None
        self.dropped = False
        self._waiter: trio.lowlevel.Task | None = None

    async def wait(self) -> Outcome:
        """The outcome, once there is one."""
        if self.outcome is None:
            self._waiter = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(self._abort)
        assert self.outcome is not None
        return self.outcome

    def end(self, outcome: Outcome) -> None:
        """Wake the waiter with `outcome`; the first end counts."""
        if self.outcome is None:
            self.outcome = outcome
            waiter, self._waiter = self._waiter, None
            if waiter is not None:
                trio.lowlevel.reschedule(waiter)

    def _abort(self, _raise_cancel: trio.lowlevel.RaiseCancelT) -> trio.lowlevel.Abort:
        self._waiter = None
        return trio.lowlevel.Abort.SUCCEEDED
