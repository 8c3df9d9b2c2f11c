"""Whoever gives jobs of the simulated world a second chance when they have ended badly."""

from collections.abc import Callable, Sequence
from contextlib import aclosing
from random import Random
from typing import Final
from uuid import UUID

import trio

from sim.happenings import RequeueAnswered, RequeueAsked
from sim.plan import Plan
from trioworker.errors import StoreError
from trioworker.events import Event
from trioworker.store.postgres.jobs import PostgresJobs

STATES: Final = ("failure", "failure", "canceled")
AT_ONCE: Final = 5


class SecondChances:
    """Looks for such jobs as often as the plan says, in its first phase."""

    def __init__(self, plan: Plan, jobs: PostgresJobs, say: Callable[[Event], None]) -> None:
        self._jobs = jobs
        self._rng = Random(f"{plan.seed}/second chances")
        self._say = say
        uniform = self._rng.uniform
        self._looks_at_s = sorted(uniform(0.0, plan.chaos_s) for _ in range(plan.requeues))

    async def run(self) -> None:
        """Look, and ask; who gets no answer leaves it at that."""
        began_s = trio.current_time()
        for at_s in self._looks_at_s:
            await trio.sleep_until(began_s + at_s)
            try:
                await self._look()
            except StoreError:
                continue

    async def _look(self) -> None:
        found: list[UUID] = []
        state = self._rng.choice(STATES)
        async with aclosing(
            self._jobs.dead_letters(state=state, path=None, tag=None, since=None)  # type: ignore[type-var]  # a generator
        ) as pages:
            async for ids in pages:
                found += ids
        await self._ask(self._rng.sample(found, min(len(found), AT_ONCE)))

    async def _ask(self, ids: Sequence[UUID]) -> None:
        if not ids:
            return
        self._say(RequeueAsked(jobs=ids))
        told = await self._jobs.requeue(ids)
        self._say(RequeueAnswered(ready=told.ready, kept_out=list(told.kept_out)))
