"""The seam between the worker and the ways a job can be run.

A runner turns one job into one outcome. It never stores anything, never retries, and never hides
a cancellation: `trio.Cancelled` goes through it after it has cleaned up (a process group killed,
a thread told), because the worker, not the runner, knows why it cancelled.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from trioworker.model.job import Job
from trioworker.model.options import RetryPolicy
from trioworker.model.outcome import Outcome
from trioworker.runners.joblog import JobLog


class Runner(Protocol):
    """One way to run jobs."""

    @property
    def run_now(self) -> Callable[[Job], Outcome] | None:
        """Set by runners whose jobs never wait (noop, identity), None for all others.

        The worker calls it instead of `run`, without a cancel scope.
        """
        ...

    def retry_of(self, job: Job) -> RetryPolicy | None:
        """What is known here of retries of `job`, for a job that says nothing of them itself."""
        ...

    def open(self) -> AbstractAsyncContextManager[None]:
        """The runner's life: background tasks and processes exist inside this context only."""
        ...

    async def run(self, job: Job, log: JobLog) -> Outcome:
        """Run one attempt of `job`; what it prints goes to `log`.

        Returns an outcome for everything the job itself can do wrong. Lets `trio.Cancelled` pass.
        """
        ...
