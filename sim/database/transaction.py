"""Transactions at READ COMMITTED: what they see, what they lock, for whom they wait.

Rules, as PostgreSQL's manual has them in chapter 13 ("Concurrency Control"):

* A statement sees what was committed when it began, and what its own transaction did in earlier
  statements. The parts of one statement do not see each other's changes.
* Whoever wants to lock or change a row that somebody else has changed meanwhile waits for him. If
  he commits, the newest version is looked at again and dropped if it does not fit any more. If he
  goes back, nothing happened.
* A row lock lasts until its transaction ends. Our statements know one strength only (FOR UPDATE,
  UPDATE and DELETE exclude each other), and there are no foreign keys that would want another.
* Two who wait for each other find out after `DEADLOCK_TIMEOUT_S`; the one whose wait is that old
  first goes down.
"""

from collections.abc import Iterator
from datetime import datetime
from enum import Enum
from typing import Any, Final

import trio

from sim.database.rows import Row
from sim.database.table import Table, Version
from sim.database.values import refusal

DEADLOCK_TIMEOUT_S: Final = 1.0


class State(Enum):
    """How far a transaction is."""

    ACTIVE = "active"
    COMMITTED = "committed"
    ABORTED = "aborted"


class Change:
    """A row before and after; None where there is none."""

    __slots__ = ("after", "before", "table")

    def __init__(
        self, table: Table[Any], before: Version[Any] | None, after: Version[Any] | None
    ) -> None:
        self.table = table
        self.before = before
        self.after = after

    @property
    def old(self) -> Row | None:
        """The row that was."""
        return None if self.before is None else self.before.row

    @property
    def new(self) -> Row | None:
        """The row that is."""
        return None if self.after is None else self.after.row


class Transaction:
    """One transaction. `number` is its place among all begun, `order` among all committed.

    `now` is when it began, which is what `now()` says throughout. `actor` is the process that it
    belongs to. A commit that is not `durable` may be lost when the server crashes.
    """

    __slots__ = (
        "actor",
        "changes",
        "command",
        "durable",
        "ended",
        "locked",
        "notifications",
        "now",
        "number",
        "order",
        "state",
        "waits_for",
    )

    def __init__(self, number: int, now: datetime, *, actor: str, durable: bool) -> None:
        self.number = number
        self.now = now
        self.actor = actor
        self.durable = durable
        self.order = 0
        self.state = State.ACTIVE
        self.command = 0
        self.changes: list[Change] = []
        self.locked: list[Version[Any]] = []
        self.notifications: dict[tuple[str, str], None] = {}
        self.waits_for: Transaction | None = None
        self.ended = trio.lowlevel.ParkingLot()

    def __repr__(self) -> str:
        return f"<transaction {self.number} of {self.actor}, {self.state.value}>"

    @property
    def committed(self) -> bool:
        """Whether its changes count."""
        return self.state is State.COMMITTED

    async def wait_until_ended(self, holder: "Transaction") -> None:
        """Wait for `holder` to end. Raises `Contention` (40P01) when he waits for us in turn."""
        self.waits_for = holder
        try:
            with trio.move_on_after(DEADLOCK_TIMEOUT_S):
                while holder.state is State.ACTIVE:
                    await holder.ended.park()
            if holder.state is State.ACTIVE and self in _chain(holder):
                raise refusal("40P01", "deadlock detected")
            while holder.state is State.ACTIVE:
                await holder.ended.park()
        finally:
            self.waits_for = None

    def end(self, state: State) -> None:
        """Let go of everything, and wake who waited."""
        self.state = state
        for version in self.locked:
            if version.locked_by is self:
                version.locked_by = None
        self.locked.clear()
        self.ended.unpark_all()


class Snapshot:
    """What one statement of a transaction sees: all that was committed up to `order`."""

    __slots__ = ("command", "mine", "order")

    def __init__(self, mine: Transaction, order: int) -> None:
        self.mine = mine
        self.order = order
        self.command = mine.command

    def sees(self, version: Version[Any]) -> bool:
        """Whether the version was made, and not yet ended, when the statement began."""
        if not self._happened(version.created_by, version.created_in):
            return False
        ended_by = version.deleted_by
        return ended_by is None or not self._happened(ended_by, version.deleted_in)

    def _happened(self, who: Transaction, command: int) -> bool:
        if who is self.mine:
            return command < self.command
        return who.state is State.COMMITTED and who.order <= self.order


def _chain(first: Transaction) -> Iterator[Transaction]:
    """`first`, for whom it waits, for whom that one waits, and so on."""
    seen: set[int] = set()
    current: Transaction | None = first
    while current is not None and current.number not in seen:
        yield current
        seen.add(current.number)
        current = current.waits_for
