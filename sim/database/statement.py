"""What a query model may do: see, lock, insert, change, delete, notify.

Rule of this file: the only place where rows change, and each operation here is what PostgreSQL does
for one row. A model that is written with these alone has the locking and the visibility of the
statement it stands for; it only has to say which rows, and in which order.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from datetime import datetime
from random import Random
from typing import Final, TypeVar

import trio

from sim.database.rows import Row
from sim.database.stepping import task_of_its_own
from sim.database.table import Table, Version
from sim.database.tables import Tables
from sim.database.transaction import Change, Line, Place, Snapshot, State, Transaction
from sim.database.values import refusal

R = TypeVar("R", bound=Row)
T = TypeVar("T")
Still = Callable[[R], bool]

RACE_ROUNDS: Final = 4


class Statement:
    """One statement of a transaction, with the snapshot that it began with.

    `started_at` is the postmaster's start time, `clock` reads the server's clock as it goes, `rng`
    decides what PostgreSQL leaves open.
    """

    def __init__(
        self,
        transaction: Transaction,
        tables: Tables,
        *,
        order: int,
        started_at: datetime,
        standby: bool,
        clock: Callable[[], datetime],
        advisory: dict[str, Line],
        rng: Random,
    ) -> None:
        self.tables: Final = tables
        self.started_at: Final = started_at
        self.standby: Final = standby
        self.clock: Final = clock
        self._transaction = transaction
        self._snapshot = Snapshot(transaction, order)
        self._advisory = advisory
        self._rng = rng

    @property
    def now(self) -> datetime:
        """When the transaction began: `now()`."""
        return self._transaction.now

    def rows(self, table: Table[R]) -> Iterator[R]:
        """All visible rows, in no order that means anything."""
        return (v.row for v in table.versions() if self._snapshot.sees(v))

    def find(self, table: Table[R], key: Hashable) -> R | None:
        """The visible row with this key."""
        version = self._visible(table, key)
        return None if version is None else version.row

    async def lock(
        self,
        table: Table[R],
        key: Hashable,
        *,
        still: Still[R] | None = None,
        skip_locked: bool = False,
    ) -> R | None:
        """`FOR UPDATE` of one visible row: its newest version, once it is ours.

        None when it is gone, or changed by somebody so that it is not `still` wanted, or, with
        `skip_locked`, in somebody's hands. Raises `Contention` on a deadlock.
        """
        version = self._visible(table, key)
        if version is None:
            return None
        taken = await self._take(version, still, skip_locked=skip_locked, keeps_place=True)
        return None if taken is None else taken.row

    async def delete(
        self, table: Table[R], key: Hashable, *, still: Still[R] | None = None
    ) -> R | None:
        """Delete one visible row; returns it, or None when there was nothing to delete."""
        version = self._visible(table, key)
        taken = None if version is None else await self._take(version, still)
        if taken is None:
            return None
        self._end(taken)
        self._note(table, taken, None)
        return taken.row

    async def update(
        self,
        table: Table[R],
        key: Hashable,
        change: Callable[[R], R],
        *,
        still: Still[R] | None = None,
    ) -> R | None:
        """Update one visible row; returns what it became, or None when there was none."""
        version = self._visible(table, key)
        taken = None if version is None else await self._take(version, still)
        return None if taken is None else self._change(table, taken, change)

    async def insert(
        self,
        table: Table[R],
        row: R,
        *,
        on_conflict: Callable[[R], R | None] | None = None,
        do_nothing: bool = False,
    ) -> bool:
        """Insert one row; whether it was inserted.

        On a row with the same key, committed by whomever and whenever: `ON CONFLICT DO NOTHING`,
        or `on_conflict` makes the new row from the old one (None: it is locked and stays as it is),
        or `Refused` (23505). An insertion
        that somebody has not committed yet is waited for.
        """
        table.check(row)
        while True:
            rival = self._rival(table, table.key(row))
            if rival is None:
                self._make(table, row)
                return True
            if (busy := self._in_other_hands(rival)) is not None:
                await self._outlive(busy)
            elif do_nothing:
                return False
            elif on_conflict is None:
                raise refusal("23505", f'duplicate key in "{table.name}"')
            elif await self._upsert(table, rival, on_conflict):
                return True

    async def advisory_lock(self, name: str) -> None:
        """`pg_advisory_xact_lock`: ours until the transaction ends."""
        await self._advisory.setdefault(name, Line()).queue(self._transaction)

    def notify(self, channel: str, payload: str) -> None:
        """`pg_notify`: sent at commit, the same one only once."""
        self._transaction.notifications[channel, payload] = None

    def shuffled(self, rows: Sequence[T]) -> list[T]:
        """Rows whose order the statement leaves open, in one that nobody may rely on."""
        return self._rng.sample(rows, len(rows)) if len(rows) > 1 else list(rows)

    def any(self, rows: Sequence[T]) -> T | None:
        """`LIMIT 1` without an order: one of the rows, if there is one."""
        return next(iter(self.shuffled(rows)), None)

    # ---- versions -----------------------------------------------------------------------------

    def _visible(self, table: Table[R], key: Hashable) -> Version[R] | None:
        return next((v for v in table.versions_of(key) if self._snapshot.sees(v)), None)

    async def _take(
        self,
        version: Version[R],
        still: Still[R] | None,
        *,
        skip_locked: bool = False,
        keeps_place: bool = False,
    ) -> Version[R] | None:
        """The newest version of a row, locked by us; see `lock`.

        Whoever comes to lock a row that is just changed keeps his place behind it until he has the
        next version (`heap_lock_updated_tuple`). Whoever comes to change it himself does not.
        """
        mine = self._transaction
        place = Place(mine)
        keeps_place = keeps_place and _is_active(version.deleted_by)
        changed = False
        try:
            while True:
                if version.deleted_by is mine:
                    return None  # another part of this statement was here first
                if not await self._is_free(version, place, skip_locked=skip_locked, new=changed):
                    return None
                if version.deleted_by is None:
                    # What does not fit any more is locked all the same.
                    self._hold(version)
                    fits = not changed or still is None or still(version.row)
                    return version if fits else None
                if version.newer is None:
                    return None
                version = version.newer
                if changed or not keeps_place:
                    place.leave()
                    await self._race()
                changed = True
        finally:
            place.leave()

    async def _is_free(
        self, version: Version[R], place: Place, *, skip_locked: bool = False, new: bool = False
    ) -> bool:
        """Wait until nobody else holds a version; False when he is not waited for."""
        while (holder := self._holder(version)) is not None:
            if skip_locked:
                return False
            # In a race for a new version some see that it is taken before they would stand in line.
            if place.line is None and (not new or self._rng.random() < 0.5):  # noqa: PLR2004 - half
                version.line = version.line or Line()
                await place.take(version.line)
            else:
                await self._outlive(holder)
        return True

    async def _outlive(self, holder: Transaction) -> None:
        """Wait until somebody has ended; whoever waited for him as well may be quicker."""
        await self._transaction.wait_until_ended(holder)
        if holder.was_awaited_by > 1:
            await self._race()

    async def _race(self) -> None:
        """All who waited for the same set out at once, and anybody may be there first."""
        await task_of_its_own()
        for _ in range(self._rng.randrange(RACE_ROUNDS)):
            await trio.lowlevel.checkpoint()

    def _holder(self, version: Version[R]) -> Transaction | None:
        """Somebody else who has changed or locked a version and has not ended."""
        for who in (version.deleted_by, version.locked_by):
            if _is_active(who) and who is not self._transaction:
                return who
        return None

    def _rival(self, table: Table[R], key: Hashable) -> Version[R] | None:
        """The version that keeps another with the same key out: live, or perhaps live soon."""
        for version in table.versions_of(key):
            ended_by = version.deleted_by
            if ended_by is None or (_is_active(ended_by) and ended_by is not self._transaction):
                return version
        return None

    def _in_other_hands(self, version: Version[R]) -> Transaction | None:
        """Whoever has not yet decided whether the version will be there."""
        for who in (version.created_by, version.deleted_by):
            if _is_active(who) and who is not self._transaction:
                return who
        return None

    async def _upsert(
        self, table: Table[R], rival: Version[R], on_conflict: Callable[[R], R | None]
    ) -> bool:
        """`ON CONFLICT DO UPDATE`; False when the row in conflict was changed meanwhile."""
        if rival.created_by is self._transaction and rival.created_in == self._transaction.command:
            raise refusal("21000", "ON CONFLICT DO UPDATE cannot affect row a second time")
        place = Place(self._transaction)
        try:
            await self._is_free(rival, place)
        finally:
            place.leave()
        if rival.deleted_by is not None:
            return False
        row = on_conflict(rival.row)
        if row is None:
            self._hold(rival)
        else:
            self._change(table, rival, lambda _: row)
        return True

    def _hold(self, version: Version[R]) -> None:
        version.locked_by = self._transaction
        self._transaction.locked.append(version)

    def _make(self, table: Table[R], row: R, before: Version[R] | None = None) -> Version[R]:
        version = Version(row, self._transaction, self._transaction.command)
        table.add(version)
        self._note(table, before, version)
        return version

    def _change(self, table: Table[R], version: Version[R], change: Callable[[R], R]) -> R:
        row = change(version.row)
        table.check(row)
        self._end(version)
        version.newer = self._make(table, row, before=version)
        return row

    def _end(self, version: Version[R]) -> None:
        version.deleted_by = self._transaction
        version.deleted_in = self._transaction.command

    def _note(self, table: Table[R], before: Version[R] | None, after: Version[R] | None) -> None:
        self._transaction.changes.append(Change(table, before, after))


def _is_active(who: Transaction | None) -> bool:
    return who is not None and who.state is State.ACTIVE
