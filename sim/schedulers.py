"""Whoever declares schedules in the simulated world, meddles with them, and deletes them at last.

Rule of this file: in the end schedules are deleted as by hand, in SQL: the ticks that wait come to
their ends like any other jobs, and no more follow.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from random import Random
from typing import Final
from uuid import UUID

import msgspec
import trio

from sim.asking import handlers
from sim.plan import Plan
from sim.ticking import CHANGED, DELETED, PAUSED, RESUMED, RUN, Deed, deed_of
from trioworker.errors import StoreError
from trioworker.model.schedule import Schedule
from trioworker.store.postgres.database import Database, Transaction
from trioworker.store.postgres.jobs import CLIENT
from trioworker.store.postgres.schedule_admin import PostgresSchedules
from trioworker.store.postgres.schedules import Found, lock

AFTER_CHAOS_S: Final = 20.0
"""How long schedules go on in a world that has healed, before somebody looks whether they do."""
AGAIN_S: Final = (0.05, 1.0)
SOON: Final = timedelta(seconds=60)


class Schedulers:
    """The schedules of a plan. `tell` is told of jobs that will be completed."""

    def __init__(
        self,
        plan: Plan,
        database: Database,
        *,
        new_id: Callable[[], UUID],
        tell: Callable[[Sequence[UUID]], None],
    ) -> None:
        self._plan = plan
        self._database = database
        self._admin = PostgresSchedules(database, CLIENT)
        self._rng = Random(f"{plan.seed}/schedulers")
        self._new_id = new_id
        self._tell = tell
        self._names = [f"schedule-{number}" for number in range(len(plan.schedules))]

    async def run(self) -> None:
        """Declare them, do to them what the plan says, and delete them in the end."""
        deeds = [deed_of(said) for said in self._plan.meddling]
        if not self._names:
            return
        said = {name: self._schedule(number, name) for number, name in enumerate(self._names)}
        await self._at_last(partial(self._admin.declare, said))
        async with trio.open_nursery() as people:
            for deed in deeds:
                people.start_soon(self._meddle, deed)
        await trio.sleep_until(self._plan.chaos_s + AFTER_CHAOS_S)
        await self._at_last(partial(self._database.transact, CLIENT, self._delete))

    async def _meddle(self, deed: Deed) -> None:
        await trio.sleep_until(deed.at_s)
        name = self._names[deed.number % len(self._names)]
        if deed.what == RUN:
            await self._run_now(name)
            return
        next_one = {name: self._schedule(deed.number + 1, name)}
        deeds: Mapping[str, Callable[[], Awaitable[object]]] = {
            PAUSED: partial(self._admin.pause, name),
            RESUMED: partial(self._admin.resume, name),
            DELETED: partial(self._admin.delete, name),
            CHANGED: partial(self._admin.declare, next_one),
        }
        await self._at_last(deeds[deed.what])

    async def _run_now(self, name: str) -> None:
        job = self._new_id()

        async def run() -> None:
            if await self._admin.run(name, job):
                self._tell([job])

        await self._at_last(run)

    async def _at_last(self, action: Callable[[], Awaitable[object]]) -> None:
        """Until it is acknowledged: all that is done here may be repeated."""
        while True:
            try:
                await action()
            except StoreError:
                await trio.sleep(self._rng.uniform(*AGAIN_S))
            else:
                return

    async def _delete(self, tx: Transaction) -> None:
        """Tell which jobs they still wait for, if these come soon, and delete them."""
        found = await lock(tx, self._names)
        await tx.run("delete_schedules", self._names)
        self._tell([one.pending for one in found if one.pending is not None and _comes_soon(one)])

    def _schedule(self, number: int, name: str) -> Schedule:
        """What the plan says of a schedule, or of the one that it is changed to."""
        schedules = self._plan.schedules
        schedule = schedules[number % len(schedules)].schedule(name, self._plan.begins)
        if not self._plan.told:
            return schedule
        options = msgspec.structs.replace(schedule.options, **handlers(schedule.tag))
        return msgspec.structs.replace(schedule, options=options)


def _comes_soon(found: Found) -> bool:
    """Whether its tick is not one of tomorrow, for which no world waits."""
    return found.progress.last_tick is not None and found.progress.last_tick < found.now + SOON
