"""`PostgresSchedules`: what people and apps do with schedules, a transaction each.

Rule of this file: like `jobs.py` it knows which steps make a transaction, and nothing of
connections or retries. Every method raises `StoreError`. Limits are settled last, as everywhere.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from typing import Final
from uuid import UUID

from trioworker.model.schedule import Schedule
from trioworker.store.postgres import schedules
from trioworker.store.postgres.database import Database, Transaction
from trioworker.store.postgres.limits import limits_said, settle_limits
from trioworker.store.postgres.schedules import Declared, Found, Touched

EVERY_ONE: Final = 1_000_000


class PostgresSchedules:
    """Schedules over one lane of a database."""

    def __init__(self, database: Database, lane: str) -> None:
        self._database = database
        self._lane = lane

    async def declare(self, said: Mapping[str, Schedule]) -> Declared:
        """Make the schedules be as said, by name; one that is so already is left alone."""

        async def body(tx: Transaction) -> Declared:
            declared = await schedules.declare(tx, said)
            await _settle(tx, declared.touched)
            return declared

        return await self._database.transact(self._lane, body)

    async def undeclared(
        self, said: Mapping[str, Schedule], modules: AbstractSet[str]
    ) -> Sequence[str]:
        """The schedules that these modules have declared before, and do not any more."""
        return [
            found.name
            for found in await self.look(None, EVERY_ONE)
            if found.schedule is not None
            and found.schedule.declared_by in modules
            and found.name not in said
        ]

    async def look(self, names: Sequence[str] | None, limit: int) -> Sequence[Found]:
        """Up to `limit` schedules in name order, only those named unless None."""

        async def body(tx: Transaction) -> Sequence[Found]:
            return await schedules.look(tx, names, limit)

        return await self._database.transact(self._lane, body)

    async def pause(self, name: str) -> bool:
        """Let none of its ticks become a job any more; False when there is no such schedule."""
        return await self._change(name, schedules.pause)

    async def resume(self, name: str) -> bool:
        """Go on with the first tick from now; False when there is no such schedule."""
        return await self._change(name, schedules.resume)

    async def delete(self, name: str) -> bool:
        """Forget it; False when there is no such schedule."""
        return await self._change(name, schedules.delete)

    async def run(self, name: str, id_: UUID) -> bool:
        """Enqueue its job as `id_`, due now and for no tick; False when there is no such schedule.

        Raises `UsageError` when its stored definition cannot be used.
        """
        return await self._change(name, partial(schedules.run, id_=id_))

    async def _change(
        self, name: str, change: Callable[[Transaction, Found], Awaitable[Touched]]
    ) -> bool:
        async def body(tx: Transaction) -> bool:
            stored = await schedules.lock(tx, [name])
            for found in stored:
                await _settle(tx, await change(tx, found))
            return bool(stored)

        return await self._database.transact(self._lane, body)


async def _settle(tx: Transaction, touched: Touched) -> None:
    left = dict.fromkeys(touched.undone, False)
    await settle_limits(tx, limits_said(touched.jobs), left=left)
