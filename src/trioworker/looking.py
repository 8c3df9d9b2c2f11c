"""What everybody may look at: jobs and what became of them, workers, counts.

Rule of this file: it changes nothing, but for the flaws that somebody wants mended.
"""

from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import contextmanager
from typing import Final
from uuid import UUID

from trioworker.errors import Refused, UnknownJob, UsageError
from trioworker.model.state import (
    STATES,
    Flaw,
    JobAttempt,
    JobLogText,
    JobState,
    JobStep,
    PlaceInLine,
    State,
    TagCounts,
    WorkerState,
)
from trioworker.store.postgres.following import follow
from trioworker.store.postgres.jobs import PostgresJobs
from trioworker.store.postgres.waits import Waits

LIMIT_MAX: Final = 10_000


class Looking:
    """The part of a client that asks."""

    def __init__(self, jobs: PostgresJobs, waits: Waits) -> None:
        self._jobs = jobs
        self._waits = waits

    async def job(self, id: UUID) -> JobState:  # noqa: A002 - the word for it everywhere
        """Where a job stands. Raises `UnknownJob`."""
        states = await self._jobs.states([id])
        if not states:
            raise UnknownJob(f"there is no job {id}")
        return states[0]

    async def jobs(
        self,
        *,
        state: State | None = None,
        tag: str | None = None,
        path: str | None = None,
        label: str | None = None,
        limit: int = 50,
        before: UUID | None = None,
    ) -> Sequence[JobState]:
        """The newest jobs that fit, newest first, of those older than the job `before`.

        At most `limit`; now and then fewer although there are more, because jobs move on. A `label`
        is of jobs that have ended.
        """
        if state is not None and state not in STATES:
            raise UsageError(f"there is no state {state!r}; one of {', '.join(STATES)}")
        labelled = "" if label is None else f" and the label {label!r}"
        with refusing(f"to look for the tag {tag!r} and the path {path!r}{labelled}"):
            return await self._jobs.newest(
                state=state,
                tag=tag,
                path=path,
                label=label,
                limit=bounded_limit(limit),
                before=before,
            )

    async def logs(self, id: UUID) -> Sequence[JobLogText]:  # noqa: A002 - as above
        """What a job has written so far, by attempt. Raises `UnknownJob`."""
        logs = await self._jobs.logs(id)
        if logs is None:
            raise UnknownJob(f"there is no job {id}")
        return logs

    def follow_logs(self, id: UUID) -> AsyncGenerator[JobLogText, None]:  # noqa: A002 - as above
        """What a job wrote and writes, as it comes, until it has ended.

        A worker stores new lines about once a second. An outage of the database that begins
        meanwhile is waited out. Raises `UnknownJob`.
        """
        return follow(self._jobs, self._waits, id)

    async def attempts(self, id: UUID) -> Sequence[JobAttempt]:  # noqa: A002 - as above
        """The attempts of a job that failed and were followed by another, the first one first.

        How the last one ended is the job's own state. Raises `UnknownJob`.
        """
        attempts = await self._jobs.attempts(id)
        if attempts is None:
            raise UnknownJob(f"there is no job {id}")
        return attempts

    async def children(self, id: UUID, limit: int = 100) -> Sequence[JobState]:  # noqa: A002 - as above
        """The jobs that have this one as their parent, oldest first, at most `limit`."""
        return await self._jobs.children(id, bounded_limit(limit))

    async def steps(self, id: UUID) -> Sequence[JobStep]:  # noqa: A002 - as above
        """The steps of a job's function that need not be done again, in their order."""
        return await self._jobs.steps(id)

    async def place_in_line(self, id: UUID) -> PlaceInLine | None:  # noqa: A002 - as above
        """Where a job waits for a slot of its concurrency limit; None when it does not."""
        return await self._jobs.place_in_line(id)

    async def workers(self, limit: int = 50) -> Sequence[WorkerState]:
        """Up to `limit` workers: those that live, then those that ended last."""
        return await self._jobs.workers(bounded_limit(limit))

    async def flaws(self, *, mend: bool = False) -> Sequence[Flaw]:
        """What is wrong with what is stored, some at a time; with `mend` it is put right.

        Nothing ever should be: this recounts the slots of concurrency limits, and looks for flows
        that nothing will ever move, which to mend is to cancel.
        """
        return await self._jobs.flaws(mend=mend)

    async def counts(self) -> Sequence[TagCounts]:
        """How many unfinished jobs stand where, by tag."""
        return await self._jobs.counts()


@contextmanager
def refusing(what: str) -> Generator[None, None, None]:
    """What the database can never take is a mistake of the caller's."""
    try:
        yield
    except (Refused, UnicodeDecodeError) as error:
        raise UsageError(f"the database refuses {what}: {error}") from error


def bounded_limit(limit: int) -> int:
    """A number of rows to be shown. Raises `UsageError` when it is none that makes sense."""
    if not 1 <= limit <= LIMIT_MAX:
        raise UsageError(f"a limit of {limit} will not do; it goes from 1 to {LIMIT_MAX}")
    return limit
