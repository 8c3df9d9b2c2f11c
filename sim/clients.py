"""The clients of the simulated world: they enqueue, cancel, and repeat what had no answer."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from operator import itemgetter
from random import Random
from typing import Final, cast
from uuid import UUID

import msgspec
import trio

from sim.bodies import IMMEDIATE, TIMEOUTS_S
from sim.calls import CALLS
from sim.database.server import EPOCH
from sim.happenings import CancelAnswered, CancelAsked, Enqueued
from sim.plan import Plan, when_and_what
from sim.policies import DEADLINES_S, DRAWN, POLICIES
from sim.schedulers import Schedulers
from trioworker.errors import StoreError
from trioworker.events import Event
from trioworker.model.job import Kind, NewJob
from trioworker.model.options import JobOptions, Limit
from trioworker.store.postgres.database import Database
from trioworker.store.postgres.jobs import PostgresJobs

NAME: Final = "client"
AGAIN_S: Final = (0.05, 1.0)
AWAITED: Final = 0.2
SCHEDULED: Final = 0.1
LIMITED: Final = 0.4
PRIORITIES: Final = (0, 0, 0, -5, 7)
BATCHES: Final = (1, 1, 3, 10)


class Clients:
    """Enqueues the workload of a plan; `promised` are the jobs that were acknowledged.

    `began` is set when there are any.
    """

    def __init__(
        self,
        plan: Plan,
        database: Database,
        *,
        tags: tuple[str, ...],
        new_id: Callable[[], UUID],
        rng: Random,
        happened: Callable[[str, Event], None],
    ) -> None:
        self._plan = plan
        self._jobs = PostgresJobs(database)
        self._tags = tags
        self._new_id = new_id
        self._rng = rng
        self._happened = happened
        self._made: list[UUID] = []
        self._schedulers = Schedulers(plan, database, rng, self._promise)
        self.promised: dict[UUID, None] = {}
        self.began = trio.Event()

    async def run(self) -> None:
        """Enqueue everything as the plan says, cancel some of it, and let schedules tick."""
        async with trio.open_nursery() as both:
            both.start_soon(self._schedulers.run)
            await self._enqueue_all()

    def _promise(self, ids: Sequence[UUID]) -> None:
        self.promised.update(dict.fromkeys(ids))

    async def _enqueue_all(self) -> None:
        named = [
            (at_s, self._limited(self._job_of(path), number))
            for number, (at_s, path) in enumerate(map(when_and_what, self._plan.jobs))
        ]
        jobs = [job for _, job in named] or [self._job() for _ in range(self._plan.sizes.jobs)]
        victims = self._rng.sample(jobs, min(self._plan.cancels, len(jobs)))
        if named:
            await self._enqueue_in_time(named)
        else:
            await self._enqueue_bit_by_bit(jobs)
        for victim in victims:
            await trio.sleep(self._rng.uniform(0.0, 1.0))
            await self._cancel([victim.id])

    async def _enqueue_in_time(self, jobs: Sequence[tuple[float, NewJob]]) -> None:
        began_s = trio.current_time()
        for at_s, together in groupby(sorted(jobs, key=itemgetter(0)), itemgetter(0)):
            await trio.sleep_until(began_s + at_s)
            await self._enqueue([job for _, job in together])

    async def _enqueue_bit_by_bit(self, jobs: list[NewJob]) -> None:
        pause_s = self._plan.enqueue_s / len(jobs)
        while jobs:
            batch = jobs[: self._rng.choice(BATCHES)]
            del jobs[: len(batch)]
            await self._enqueue(batch)
            await trio.sleep(pause_s * len(batch) * self._rng.uniform(0.0, 2.0))

    async def _enqueue(self, batch: Sequence[NewJob]) -> None:
        """Until it is acknowledged: the ids make that harmless."""
        batch = [_with_deadline(job) for job in batch]
        while True:
            try:
                await self._jobs.enqueue(batch)
            except StoreError:
                await trio.sleep(self._rng.uniform(*AGAIN_S))
            else:
                break
        ids = [job.id for job in batch]
        self.promised.update(dict.fromkeys(ids))
        self._happened(NAME, Enqueued(jobs=ids))
        self.began.set()

    async def _cancel(self, ids: Sequence[UUID]) -> None:
        """Once: whoever gets no answer to a cancellation may leave it at that."""
        self._happened(NAME, CancelAsked(jobs=ids))
        try:
            told = await self._jobs.cancel(ids, "cancelled by a simulated client")
        except StoreError:
            return
        self._happened(NAME, CancelAnswered(ended=told.ended, asked=told.asked))

    def _job(self) -> NewJob:
        rng = self._rng
        names, weights = zip(*self._plan.bodies.items(), strict=True)
        path = rng.choices(names, weights)[0]
        later_s = rng.uniform(0.0, 5.0) if rng.random() < SCHEDULED else None
        job = self._job_of(path)
        if self._plan.limits and rng.random() < LIMITED:
            job = self._limited(job, rng.randrange(len(self._plan.limits)))
        job = msgspec.structs.replace(
            job,
            tag=rng.choice(self._tags),
            priority=rng.choice(PRIORITIES),
            awaited=rng.random() < AWAITED,
            parent=self._parent(),
        )
        self._made.append(job.id)
        return (
            job if later_s is None else msgspec.structs.replace(job, scheduled_for=later(later_s))
        )

    def _parent(self) -> UUID | None:
        """One of the jobs so far, or nobody."""
        chance = self._plan.children
        if not (chance and self._made and self._rng.random() < chance):
            return None
        return self._rng.choice(self._made)

    def _limited(self, job: NewJob, number: int) -> NewJob:
        """The job with one of the plan's limits, if there are any."""
        limits = self._plan.limits
        if not limits:
            return job
        number %= len(limits)
        limit = Limit(limits[number], f"key-{number}", self._plan.window_s)
        return msgspec.structs.replace(
            job, options=msgspec.structs.replace(job.options, limit=limit)
        )

    def _job_of(self, path: str) -> NewJob:
        return NewJob(
            id=self._new_id(),
            kind=cast("Kind", path if path in IMMEDIATE else "function"),
            path=path,
            args=CALLS.get(path, b"{}"),
            tag=self._tags[0],
            options=JobOptions(
                timeout_s=TIMEOUTS_S.get(path),
                retry=POLICIES.get(path) or DRAWN.get(path),
            ),
        )


def _with_deadline(job: NewJob) -> NewJob:
    """The job as it is enqueued now."""
    if job.path not in DEADLINES_S:
        return job
    options = msgspec.structs.replace(job.options, deadline=later(DEADLINES_S[job.path]))
    return msgspec.structs.replace(job, options=options)


def later(seconds: float) -> datetime:
    """A moment by the server's clock as it was before anybody set it."""
    return EPOCH + timedelta(seconds=trio.current_time() + seconds)
