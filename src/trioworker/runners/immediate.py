"""The kinds of job that need no waiting at all: what remains is the cost of the pipeline."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from trioworker.model.job import Job
from trioworker.model.options import RetryPolicy
from trioworker.model.outcome import Begun, Outcome, Succeeded
from trioworker.runners.joblog import JobLog

_NULL: Final = Succeeded(b"null")


class ImmediateRunner:
    """Runs jobs whose outcome is a plain function of the job."""

    def __init__(self, outcome_of: Callable[[Job], Outcome]) -> None:
        self.run_now: Callable[[Job], Outcome] | None = outcome_of
        self._outcome_of = outcome_of

    def retry_of(self, _job: Job) -> RetryPolicy | None:
        """Nothing: these jobs never fail."""
        return None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Nothing to open."""
        yield

    async def run(self, job: Job, log: JobLog) -> Outcome:  # noqa: ARG002 - it has nothing to say
        """The same as `run_now`."""
        return self._outcome_of(job)


def noop_runner() -> ImmediateRunner:
    """Jobs of the kind noop: they succeed with null."""
    return ImmediateRunner(lambda _job: _NULL)


def flow_runner() -> ImmediateRunner:
    """Jobs of the kind flow: they begin, and whoever stores that makes their first steps jobs."""
    return ImmediateRunner(lambda _job: Begun())


def identity_runner() -> ImmediateRunner:
    """Jobs of the kind identity: their arguments are their result."""
    return ImmediateRunner(lambda job: Succeeded(job.args.encode()))
