"""Whoever declares schedules in the simulated world, and deletes them when it has healed.

Rule of this file: schedules are deleted as by hand, in SQL: the ticks that wait come to their ends
like any other jobs, and no more follow.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from random import Random
from typing import Final
from uuid import UUID

import trio

from sim.plan import Plan
from trioworker.errors import StoreError
from trioworker.model.schedule import CatchUp, Overlap, Schedule
from trioworker.model.ticks import Timing
from trioworker.store.postgres.database import Database, Transaction
from trioworker.store.postgres.jobs import CLIENT
from trioworker.store.postgres.schedule_admin import PostgresSchedules
from trioworker.store.postgres.schedules import lock

EVERY_S: Final = 1.0
AFTER_CHAOS_S: Final = 20.0
"""How long schedules go on in a world that has healed, before somebody looks whether they do."""
AGAIN_S: Final = (0.05, 1.0)
OVERLAPS: Final[tuple[Overlap, ...]] = ("skip", "queue_one")
CATCH_UPS: Final[tuple[CatchUp, ...]] = ("none", "last", "all")


class Schedulers:
    """The schedules of a plan."""

    def __init__(
        self, plan: Plan, database: Database, rng: Random, tell: Callable[[Sequence[UUID]], None]
    ) -> None:
        self._plan = plan
        self._database = database
        self._rng = rng
        self._tell = tell
        self._names = [f"every-{number}" for number in range(plan.schedules)]

    async def run(self) -> None:
        """Declare them, as often as it takes, and delete them in the end."""
        if not self._names:
            return
        admin = PostgresSchedules(self._database, CLIENT)
        said = {name: self._schedule(number, name) for number, name in enumerate(self._names)}
        await self._at_last(partial(admin.declare, said))
        await trio.sleep_until(self._plan.chaos_s + AFTER_CHAOS_S)
        await self._at_last(partial(self._database.transact, CLIENT, self._delete))

    async def _at_last(self, action: Callable[[], Awaitable[object]]) -> None:
        """Until it is acknowledged: both may be repeated."""
        while True:
            try:
                await action()
            except StoreError:
                await trio.sleep(self._rng.uniform(*AGAIN_S))
            else:
                return

    async def _delete(self, tx: Transaction) -> None:
        """Tell which jobs they still wait for, and delete them."""
        found = await lock(tx, self._names)
        await tx.run("delete_schedules", self._names)
        self._tell([one.pending for one in found if one.pending is not None])

    def _schedule(self, number: int, name: str) -> Schedule:
        return Schedule(
            name=name,
            path=self._plan.ticking,
            timing=Timing(every_s=EVERY_S),
            tag="tag-0",
            overlap=OVERLAPS[number % len(OVERLAPS)],
            catch_up=CATCH_UPS[number % len(CATCH_UPS)],
        )
