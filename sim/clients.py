"""The clients of the simulated world: they enqueue, cancel, and repeat what had no answer."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import groupby
from operator import itemgetter
from random import Random
from typing import Final, cast
from uuid import UUID

import msgspec
import trio
from msgspec import UNSET

from sim.asking import as_by_hand, asking, drawn_asking
from sim.bodies import IMMEDIATE, TIMEOUTS_S
from sim.calls import CALLS
from sim.flow_people import FlowPeople
from sim.followers import Followers
from sim.happenings import CancelAnswered, CancelAsked, Enqueued, KeptOut
from sim.onlooker import Onlooker
from sim.plan import CACHE_TTL_S, CACHED, OTHER_KIND, Plan, when_and_what
from sim.policies import DEADLINES_S, DRAWN, POLICIES
from sim.schedulers import Schedulers
from sim.second_chances import SecondChances
from trioworker.errors import DuplicateJob, StoreError
from trioworker.events import Event
from trioworker.model.job import Kind, NewJob
from trioworker.model.options import (
    Debounce,
    JobOptions,
    Limit,
    OnConflict,
    Unique,
    UniqueWhile,
)
from trioworker.store.postgres.database import Database
from trioworker.store.postgres.jobs import PostgresJobs

NAME: Final = "client"
AGAIN_S: Final = (0.05, 1.0)
AWAITED: Final = 0.2
SCHEDULED: Final = 0.1
LIMITED: Final = 0.4
KEYED: Final = 0.5
PERIOD_S: Final = 1.5
KINDS: Final = {OTHER_KIND: "script", **{path: path for path in IMMEDIATE}}
WAITS_S: Final = (2.0, 2.0, None)
CONFLICTS: Final[tuple[OnConflict, ...]] = ("keep", "keep", "replace", "raise")
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
        tags: Sequence[str],
        new_id: Callable[[], UUID],
        rng: Random,
        onlooker: Onlooker,
        happened: Callable[[str, Event], None],
    ) -> None:
        self._plan = plan
        self._jobs = PostgresJobs(database)
        self._tags = tags
        self._new_id = new_id
        self._rng = rng
        self._onlooker = onlooker
        self._happened = happened
        self._made: list[UUID] = []
        self._cancelling = trio.Lock()
        self._schedulers = Schedulers(plan, database, new_id=new_id, tell=self._promise)
        say = partial(happened, NAME)
        self._second_chances = SecondChances(plan, self._jobs, say)
        self.flow_people = FlowPeople(
            plan, database, self._jobs, tags=tags, new_id=new_id, tell=self._promise,
            cancel=self._cancel, say=say,
        )  # fmt: skip
        self._followers = Followers(plan, database, self._jobs, say)
        self.promised: dict[UUID, None] = {}
        self.began = trio.Event()

    async def run(self) -> None:
        """Enqueue everything as the plan says, cancel some of it, and let schedules tick."""
        async with trio.open_nursery() as people:
            people.start_soon(self._schedulers.run)
            people.start_soon(self._second_chances.run)
            people.start_soon(self._followers.run)
            people.start_soon(self.flow_people.run)
            people.start_soon(self._cancel_what_runs)
            await self._enqueue_all()
            self._followers.no_more()

    def _promise(self, ids: Sequence[UUID]) -> None:
        self.promised.update(dict.fromkeys(ids))

    async def _enqueue_all(self) -> None:
        named = [
            (at_s, self._keyed(self._limited(self._named(path, number), number), number))
            for number, (at_s, path) in enumerate(map(when_and_what, self._plan.jobs))
        ]
        jobs = [job for _, job in named] or [self._job() for _ in range(self._plan.sizes.jobs)]
        victims = self._rng.sample(jobs, min(self._plan.cancels, len(jobs)))
        async with trio.open_nursery() as nursery:
            if named:
                await self._enqueue_in_time(named)
            elif self._plan.keys:
                # Two clients at once, who know nothing of each other.
                nursery.start_soon(self._enqueue_bit_by_bit, jobs[::2])
                nursery.start_soon(self._enqueue_bit_by_bit, jobs[1::2])
            else:
                await self._enqueue_bit_by_bit(jobs)
        for victim in victims:
            await trio.sleep(self._rng.uniform(0.0, 1.0))
            if victim.id in self.promised:
                await self._cancel([victim.id])

    async def _cancel_what_runs(self) -> None:
        """One job now and then that runs at that moment; it may be over when the request comes."""
        rng = Random(f"{self._plan.seed}/cancels")
        many = self._plan.cancels_running
        for at_s in sorted(rng.uniform(0.0, self._plan.chaos_s) for _ in range(many)):
            await trio.sleep_until(at_s)
            if running := self._onlooker.running:
                await self._cancel([rng.choice(running)])

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
        batch = [as_by_hand(self._with_deadline(job)) for job in batch]
        first: Mapping[UUID, UUID] | None = None
        asked_s = trio.current_time()
        while first is None:
            asked_s = trio.current_time()
            try:
                first = (await self._jobs.enqueue(batch)).first
            except DuplicateJob as duplicate:
                # The first may be one of the same call, which has stored nothing.
                if all(job.id != duplicate.first for job in batch):
                    self._kept_out(duplicate.job, duplicate.first, asked_s)
                batch = [job for job in batch if job.id != duplicate.job]
            except StoreError:
                await trio.sleep(self._rng.uniform(*AGAIN_S))
        for job, holder in first.items():
            self._kept_out(job, holder, asked_s)
        ids = [job.id for job in batch if job.id not in first]
        self.promised.update(dict.fromkeys(ids))
        self._happened(NAME, Enqueued(jobs=ids))
        self._followers.follow(job for job in batch if job.id not in first)
        self.began.set()

    def _kept_out(self, job: UUID, first: UUID, asked_s: float) -> None:
        self._happened(NAME, KeptOut(job=job, first=first, asked_s=asked_s))

    async def _cancel(self, ids: Sequence[UUID]) -> None:
        """Once: whoever gets no answer to a cancellation may leave it at that.

        One after the other, so that an answer is to the request before it.
        """
        async with self._cancelling:
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
        job = drawn_asking(job, self._plan, self._tags[0], rng)
        if self._plan.limits and rng.random() < LIMITED:
            job = self._limited(job, rng.randrange(len(self._plan.limits)))
        if self._plan.keys and rng.random() < KEYED:
            job = self._keyed(job, rng.randrange(len(self._plan.keys)))
        job = msgspec.structs.replace(
            job,
            tag=rng.choice(self._tags),
            priority=rng.choice(PRIORITIES),
            awaited=rng.random() < AWAITED,
            parent=self._parent(),
        )
        self._made.append(job.id)
        if later_s is None:
            return job
        return msgspec.structs.replace(job, scheduled_for=self._later(later_s))

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

    def _keyed(self, job: NewJob, number: int) -> NewJob:
        """The job with one of the plan's keys, if there are any."""
        keys = self._plan.keys
        if not keys or job.options.restart:
            return job
        number %= len(keys)
        during, key = keys[number], f"key-{number}"
        if during == "debounce":
            return _with(job, debounce=Debounce(0.5, key, self._rng.choice(WAITS_S)))
        period_s = PERIOD_S if during == "period" else None
        then = self._rng.choice(CONFLICTS)
        return _with(job, unique=Unique(key, cast("UniqueWhile", during), period_s, then))

    def _args(self, path: str) -> bytes:
        """Those of a call, or one of two that jobs which share results may have."""
        if path == CACHED:
            return b'{"n": %d}' % self._rng.randrange(2)
        return CALLS.get(path, b"{}")

    def _named(self, path: str, number: int) -> NewJob:
        return asking(self._job_of(path), self._plan, self._tags[0], number)

    def _job_of(self, path: str) -> NewJob:
        return NewJob(
            id=self._new_id(),
            kind=cast("Kind", KINDS.get(path, "function")),
            path=path,
            args=self._args(path),
            tag=self._tags[0],
            options=JobOptions(
                timeout_s=TIMEOUTS_S.get(path, UNSET),
                cache_ttl_s=CACHE_TTL_S if path == CACHED else None,
                retry=POLICIES.get(path) or DRAWN.get(path, UNSET),
                restart=path == "again",
            ),
        )

    def _with_deadline(self, job: NewJob) -> NewJob:
        """The job as it is enqueued now."""
        if job.path not in DEADLINES_S:
            return job
        return _with(job, deadline=self._later(DEADLINES_S[job.path]))

    def _later(self, seconds: float) -> datetime:
        """A moment by the server's clock as it was before anybody set it."""
        return self._plan.begins + timedelta(seconds=trio.current_time() + seconds)


def _with(job: NewJob, **options: object) -> NewJob:
    """The job with some options more."""
    return msgspec.structs.replace(job, options=msgspec.structs.replace(job.options, **options))
