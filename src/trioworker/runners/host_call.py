"""One job on its way through a host process, and the task that waits for it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import trio

from trioworker.errors import UsageError
from trioworker.model.outcome import Outcome
from trioworker.model.progress import progress_of
from trioworker.runners.framing import Reply
from trioworker.runners.joblog import JobLog


def learn(log: JobLog, reply: Reply) -> None:
    """Note what a process says of a job besides its end; what will not do is a line in its log."""
    log.write(reply.log or "")
    for label in reply.labels:
        with _complaining(log):
            log.labels.add(label)
    if reply.progress is not None:
        with _complaining(log):
            log.progress.tell(progress_of(*reply.progress))
    if made := bytes(reply.preprocessed):
        with _complaining(log):
            log.keep_preprocessed(made)


@contextmanager
def _complaining(log: JobLog) -> Iterator[None]:
    try:
        yield
    except UsageError as error:
        log.write(f"trioworker: {error}\n")


class HostCall:
    """A job as its host sees it: `id` is its number in the lines, `line` the one that runs it.

    What it prints goes to `write`, the log's own by default. `logs` are those of the jobs of a
    chunk, else the one. `outcome` is None until it has ended. `dropped` says that nobody waits for
    it any more.
    """

    __slots__ = ("_waiter", "dropped", "id", "line", "log", "logs", "outcome", "write")

    def __init__(
        self,
        call_id: int,
        line: bytes,
        log: JobLog,
        *,
        write: Callable[[str], None] | None = None,
        members: Sequence[JobLog] = (),
    ) -> None:
        self.id = call_id
        self.line = line
        self.log = log
        self.logs = members or (log,)
        self.write = write or log.write
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

    def learn(self, reply: Reply) -> None:
        """See `learn`. What it says of a member that is none, nobody hears."""
        if reply.member < len(self.logs):
            learn(self.logs[reply.member], reply)
        for log, member in zip(self.logs, reply.members or (), strict=False):
            learn(log, member)

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
