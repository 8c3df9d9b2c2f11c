"""Whoever has to do with flows in the simulated world: pushes them, runs them, decides, cancels.

Rule of this file: who gets no answer to a push or an enqueue repeats it, for that is harmless. Who
gets none to a decision says the same once more, and may hear that it was heard.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from random import Random
from typing import Final
from uuid import UUID

import msgspec
import trio

from sim.asking import handlers
from sim.database.rows import WaitingRow
from sim.flowing import APPROVED_BY, definition_of, needed_for, when_and_which
from sim.happenings import Committed, DecisionAnswered, Enqueued, Happening
from sim.plan import Plan
from trioworker.errors import StoreError, UsageError
from trioworker.events import Event
from trioworker.model.flow_decision import Decision
from trioworker.model.job import NewJob
from trioworker.model.options import NO_OPTIONS
from trioworker.store.postgres.database import Database
from trioworker.store.postgres.flow_admin import PostgresFlows
from trioworker.store.postgres.jobs import CLIENT, PostgresJobs

AGAIN_S: Final = (0.05, 1.0)
THINKS_S: Final = (0.0, 1.5)
PATIENCE_S: Final = 6.0
"""How long after the last run has begun people still decide."""
WITHIN_S: Final = (0.03, 1.0)
"""How soon somebody cancels a run: when it is just about to begin, or when it is under way."""
DISAPPROVES: Final = 0.2
TRIES: Final = 3
Cancel = Callable[[Sequence[UUID]], Awaitable[None]]


class FlowPeople:
    """The people of a plan with flows. `tell` is told of runs that will be completed.

    `cancel` asks for jobs to be cancelled. What waits for a decision they see in the trace.
    """

    def __init__(
        self,
        plan: Plan,
        database: Database,
        jobs: PostgresJobs,
        *,
        tags: Sequence[str],
        new_id: Callable[[], UUID],
        tell: Callable[[Sequence[UUID]], None],
        cancel: Cancel,
        say: Callable[[Event], None],
    ) -> None:
        self._plan = plan
        self._flows = PostgresFlows(database, CLIENT)
        self._jobs = jobs
        self._tags = tags
        self._new_id = new_id
        self._tell = tell
        self._cancel = cancel
        self._say = say
        self._rng = Random(f"{plan.seed}/flow people")
        self._asked, self._to_decide = trio.open_memory_channel[UUID](10_000)
        self._seen: set[UUID] = set()

    def see(self, happening: Happening) -> None:
        """Look at one happening: whether something waits for a decision."""
        if not isinstance(happening.event, Committed):
            return
        for change in happening.event.changes:
            row = change.new
            if (
                isinstance(row, WaitingRow)
                and row.reason == "approval"
                and row.id not in self._seen
            ):
                self._seen.add(row.id)
                self._asked.send_nowait(row.id)

    async def run(self) -> None:
        """Push what is needed, begin the runs, decide for a while, cancel what the plan says."""
        runs = sorted(map(when_and_which, self._plan.flows))
        if not runs:
            return
        for name in needed_for([name for _, name in runs]):
            push = partial(self._flows.push, name, definition_of(name), by="somebody")
            await self._at_last(push)
        until_s = max(self._plan.chaos_s, runs[-1][0]) + PATIENCE_S
        async with trio.open_nursery() as people:
            people.start_soon(self._decide_until, until_s)
            await self._begin_all(runs)

    async def _begin_all(self, runs: Sequence[tuple[float, str]]) -> None:
        victims = set(
            self._rng.sample(range(len(runs)), min(self._plan.flows_cancelled, len(runs)))
        )
        async with trio.open_nursery() as people:
            for number, (at_s, name) in enumerate(runs):
                people.start_soon(self._begin, at_s, self._job(name), number in victims)

    async def _begin(self, at_s: float, job: NewJob, is_victim: bool) -> None:  # noqa: FBT001 - for a task
        await trio.sleep_until(at_s)
        await self._at_last(partial(self._jobs.enqueue, [job]))
        self._tell([job.id])
        self._say(Enqueued(jobs=[job.id]))
        if is_victim:
            await trio.sleep(self._rng.uniform(0.0, self._rng.choice(WITHIN_S)))
            await self._cancel([job.id])

    def _job(self, name: str) -> NewJob:
        tag = self._rng.choice(self._tags)
        told = handlers(self._tags[0]) if self._plan.told else {}
        options = msgspec.structs.replace(NO_OPTIONS, **told)
        return NewJob(
            id=self._new_id(), kind="flow", path=name, args=b"{}", tag=tag,
            awaited=self._rng.random() < 0.3, options=options,  # noqa: PLR2004 - three in ten
        )  # fmt: skip

    async def _decide_until(self, until_s: float) -> None:
        with trio.move_on_at(until_s):
            async with trio.open_nursery() as people:
                async for job in self._to_decide:
                    for by in self._rng.sample(APPROVED_BY, 2):
                        thinks_s = self._rng.uniform(*THINKS_S)
                        approve = self._rng.random() >= DISAPPROVES
                        people.start_soon(self._decide, job, Decision(by, approve), thinks_s)

    async def _decide(self, job: UUID, decision: Decision, thinks_s: float) -> None:
        await trio.sleep(thinks_s)
        for _ in range(TRIES):
            try:
                ended = await self._flows.decide(job, decision)
            except UsageError:
                return
            except StoreError:
                await trio.sleep(self._rng.uniform(*AGAIN_S))
            else:
                self._say(DecisionAnswered(job=job, by=decision.by, ended=ended))
                return

    async def _at_last(self, action: Callable[[], Awaitable[object]]) -> None:
        while True:
            try:
                await action()
            except StoreError:
                await trio.sleep(self._rng.uniform(*AGAIN_S))
            else:
                return
