"""Whoever follows the logs of jobs in the simulated world, while they are written."""

from collections.abc import Callable, Iterable
from contextlib import aclosing
from math import inf
from typing import Final
from uuid import UUID

import trio

from sim.happenings import LogFollowed, LogHeard
from sim.plan import Plan
from trioworker.errors import StoreError, UnknownJob
from trioworker.events import Event
from trioworker.model.job import NewJob
from trioworker.store.postgres.database import Database
from trioworker.store.postgres.following import follow
from trioworker.store.postgres.jobs import PostgresJobs
from trioworker.store.postgres.waits import Waits

WRITING: Final = frozenset({"log", "talk", "huge", "retry", "snooze"})
"""Bodies whose logs are worth it."""


class Followers:
    """As many as the plan has, each with one job, from its enqueue to its end."""

    def __init__(
        self, plan: Plan, database: Database, jobs: PostgresJobs, say: Callable[[Event], None]
    ) -> None:
        self._plan = plan
        self._jobs = jobs
        self._waits = Waits(database, jobs)
        self._say = say
        self._left = plan.followers
        self._wanted, self._asked = trio.open_memory_channel[UUID](inf)

    def follow(self, jobs: Iterable[NewJob]) -> None:
        """These are stored: whoever has no job yet takes one of them."""
        for job in jobs:
            if self._left and job.path in WRITING:
                self._left -= 1
                self._wanted.send_nowait(job.id)

    def no_more(self) -> None:
        """There are no more jobs to follow."""
        self._wanted.close()

    async def run(self) -> None:
        """Until `no_more` are to be followed, and all that are have ended."""
        async with trio.open_nursery() as listening:
            listening.start_soon(self._waits.run)
            async with trio.open_nursery() as followers:
                async for job in self._asked:
                    followers.start_soon(self._follow, job)
            listening.cancel_scope.cancel()

    async def _follow(self, job: UUID) -> None:
        """Whoever hears of an error, or that the job is gone, leaves it at that."""
        with trio.move_on_after(self._plan.chaos_s + self._plan.drain_s):
            try:
                async with aclosing(follow(self._jobs, self._waits, job)) as texts:
                    async for text in texts:
                        self._say(LogHeard(job=job, attempt=text.attempt, text=text.text))
            except (StoreError, UnknownJob):
                return
            self._say(LogFollowed(job=job))
