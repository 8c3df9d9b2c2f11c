"""The jobs of a test, in memory, as a client sees them.

Rule of this file: it knows what a client may ask of one job after the other. Keys, limits,
schedules and what else jobs share are the database's; here they are kept as they were asked for.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from typing import Any, NoReturn
from uuid import UUID

import msgspec
import trio

from trioworker.errors import UsageError
from trioworker.model.completion import complete
from trioworker.model.job import Job, NewJob
from trioworker.model.outcome import Cancelled, JobError, Outcome, Retried
from trioworker.model.progress import Progress
from trioworker.model.state import (
    Cancellation,
    JobAttempt,
    JobLogText,
    JobProgress,
    JobState,
    JobStep,
    State,
    TagCounts,
    WorkerState,
)
from trioworker.runners.joblog import JobLog
from trioworker.store.postgres.database import Row, Transaction
from trioworker.store.postgres.enqueue import Enqueued
from trioworker.store.postgres.jobs import PostgresJobs
from trioworker.testing.clock import FrozenClock


class NoDatabase:
    """Says for each statement that it needs a real one."""

    async def run(self, lane: str, name: str, *arguments: object, jobs: int = 0) -> Sequence[Row]:
        """See `Database`."""
        del lane, arguments, jobs
        self._none(name)

    async def transact(self, lane: str, body: Callable[[Transaction], Awaitable[Any]]) -> NoReturn:
        """See `Database`."""
        del lane, body
        self._none("a transaction")

    async def listen(self, channels: Sequence[str], heard: Callable[[str, str], None]) -> NoReturn:
        """See `Database`."""
        del channels, heard
        self._none("listen")

    def _none(self, what: str) -> NoReturn:
        raise UsageError(f"the queue in memory cannot do this ({what}); it needs a PostgreSQL")


class Entry:
    """One job: what was asked, when it is due, and what became of it."""

    def __init__(self, new: NewJob, now: datetime) -> None:
        self.new = new
        self.enqueued_at = now
        self.due = new.scheduled_for or now
        self.attempt = 1
        self.running = False
        self.ended_as: State | None = None
        self.ended_at: datetime | None = None
        self.result: Any = None
        self.error: JobError | None = None
        self.logs: list[JobLogText] = []
        self.attempts: list[JobAttempt] = []
        self.labels: tuple[str, ...] = ()
        self.progress: JobProgress | None = None
        self.steps: list[JobStep] = []
        self.in_hand = trio.Lock()
        self._asked_in: int | None = None

    @property
    def order(self) -> tuple[int, datetime, UUID]:
        """Which of the due jobs goes first."""
        return -self.new.priority, self.due, self.new.id

    def is_due(self, now: datetime) -> bool:
        """Whether a worker would take it."""
        return self.ended_as is None and not self.running and self.due <= now

    def claimed(self) -> Job:
        """The job as a worker holds it."""
        new = self.new
        return Job(
            id=new.id, claim=new.id, attempt=self.attempt, reaped=0, kind=new.kind, path=new.path,
            args=new.args.decode(), tag=new.tag, priority=new.priority, scheduled_for=self.due,
            awaited=new.awaited, options=new.options,
        )  # fmt: skip

    def ask_again(self, attempt: int, now: datetime) -> None:
        """Its parent asks for it in this attempt; a later one has it run again if it failed."""
        again = self._asked_in is not None and self._asked_in < attempt
        if self.ended_as in {"failure", "canceled"} and again:
            self.ended_as = self.ended_at = self.error = None
            self.attempt += 1
            self.due = now
        self._asked_in = attempt

    def end_attempt(self, outcome: Outcome, log: JobLog, now: datetime) -> None:
        """Note what came of an attempt, as a commit would store it."""
        if text := log.text():
            self.logs.append(JobLogText(self.attempt, text))
        self._tell(outcome, log.progress.newest, now)
        if isinstance(outcome, Retried):
            self.attempts.append(JobAttempt(self.attempt, outcome.error, None, now, 0))
        completion = complete(outcome)
        if completion.status is None:
            assert completion.delay_s is not None
            self.due = now + timedelta(seconds=completion.delay_s)
            self.attempt += completion.charged
            return
        self.labels = tuple(sorted({*self.new.options.labels, *log.labels}))
        self.ended_as, self.ended_at = completion.status, now  # type: ignore[assignment]  # one of them
        if completion.result is not None:
            self.result = msgspec.json.decode(completion.result)
        if completion.error is not None:
            self.error = msgspec.json.decode(completion.error, type=JobError)

    def state(self, now: datetime) -> JobState:
        """What a client is told."""
        new = self.new
        unstarted: State = "scheduled" if self.due > now else "ready"
        state = self.ended_as or ("running" if self.running else unstarted)
        return JobState(
            id=new.id, kind=new.kind, path=new.path, args=msgspec.json.decode(new.args),
            tag=new.tag, priority=new.priority, state=state, attempt=self.attempt, reaped=0,
            worker=None, created_at=self.enqueued_at, claimed_at=None,
            scheduled_for=None if self.ended_as or self.running else self.due,
            started_at=self.ended_at, completed_at=self.ended_at,
            duration_ms=None if self.ended_at is None else 0,
            result=self.result, error=self.error, labels=self.labels, progress=self.progress,
        )  # fmt: skip

    def _tell(self, outcome: Outcome, told: Progress | None, now: datetime) -> None:
        """A later attempt begins anew; the same one, put off, goes on from there."""
        if isinstance(outcome, Retried):
            self.progress = None
        elif told is not None:
            self.progress = JobProgress(told.fraction, told.note, now)


class MemoryJobs(PostgresJobs):
    """What a client asks of a database, answered from a dict, by a clock that stands still."""

    def __init__(self, clock: FrozenClock) -> None:
        super().__init__(NoDatabase())
        self._clock = clock
        self.entries: dict[UUID, Entry] = {}

    async def enqueue(self, jobs: Sequence[NewJob]) -> Enqueued:
        """Keep the jobs whose ids are new."""
        new = {job.id for job in jobs} - self.entries.keys()
        for job in jobs:
            if job.id in new:
                self.entries[job.id] = Entry(job, self._clock.now)
        return Enqueued(new, {})

    async def now(self) -> datetime:
        """What the clock shows."""
        return self._clock.now

    async def states(self, ids: Sequence[UUID]) -> Sequence[JobState]:
        """See `PostgresJobs`."""
        now = self._clock.now
        return [self.entries[id_].state(now) for id_ in ids if id_ in self.entries]

    async def newest(
        self,
        *,
        state: str | None,
        tag: str | None,
        path: str | None,
        limit: int,
        before: UUID | None,
        label: str | None = None,
    ) -> Sequence[JobState]:
        """See `PostgresJobs`."""
        ids = sorted(self.entries, reverse=True)
        states = await self.states([id_ for id_ in ids if before is None or id_ < before])
        found = (
            one
            for one in states
            if state in (None, one.state) and tag in (None, one.tag) and path in (None, one.path)
            if label is None or label in one.labels
        )
        return [one for one, _ in zip(found, range(limit), strict=False)]

    async def ended(self, ids: Collection[UUID]) -> AbstractSet[UUID]:
        """See `PostgresJobs`."""
        return {state.id for state in await self.states(list(ids)) if state.ended}

    async def cancel(self, ids: Iterable[UUID], reason: str) -> Cancellation:
        """End what has not started, and those below it; nobody is told of what runs."""
        ended, asked = [], []
        for entry in self._family(ids):
            if entry.running:
                asked.append(entry.new.id)
            elif entry.ended_as is None:
                entry.end_attempt(Cancelled(reason), JobLog(), self._clock.now)
                ended.append(entry.new.id)
        return Cancellation(ended, asked)

    async def logs(self, job: UUID) -> Sequence[JobLogText] | None:
        """See `PostgresJobs`."""
        return self.entries[job].logs if job in self.entries else None

    async def attempts(self, job: UUID) -> Sequence[JobAttempt] | None:
        """See `PostgresJobs`."""
        return self.entries[job].attempts if job in self.entries else None

    async def children(self, job: UUID, limit: int) -> Sequence[JobState]:
        """See `PostgresJobs`."""
        return await self.states(sorted(e for e in self.entries if self._is_child(e, job))[:limit])

    async def steps(self, job: UUID) -> Sequence[JobStep]:
        """See `PostgresJobs`."""
        return self.entries[job].steps if job in self.entries else []

    def _is_child(self, id_: UUID, parent: UUID) -> bool:
        return self.entries[id_].new.parent == parent

    async def place_in_line(self, job: UUID) -> None:
        """No job waits for a slot: they run one after the other."""
        del job

    async def workers(self, limit: int) -> Sequence[WorkerState]:
        """There are none."""
        del limit
        return []

    async def counts(self) -> Sequence[TagCounts]:
        """See `PostgresJobs`."""
        tags = sorted({e.new.tag for e in self.entries.values() if e.ended_as is None})
        return [self._counts(tag) for tag in tags]

    def due(self) -> list[Entry]:
        """What a worker would take, in its order."""
        now = self._clock.now
        return sorted((e for e in self.entries.values() if e.is_due(now)), key=lambda e: e.order)

    def _family(self, ids: Iterable[UUID]) -> Iterator[Entry]:
        for id_ in dict.fromkeys(ids):
            if id_ in self.entries:
                yield self.entries[id_]
                below = [e.new.id for e in self.entries.values() if e.new.parent == id_]
                yield from self._family(below)

    def _counts(self, tag: str) -> TagCounts:
        now = self._clock.now
        states = [e.state(now).state for e in self.entries.values() if e.new.tag == tag]
        return TagCounts(
            tag, states.count("ready"), states.count("scheduled"), 0, states.count("running")
        )
