"""Transactions at READ COMMITTED: what they see, what they lock, for whom they wait.

Rules, as PostgreSQL's manual has them in chapter 13 ("Concurrency Control"):

* A statement sees what was committed when it began, and what its own transaction did in earlier
  statements. The parts of one statement do not see each other's changes.
* Whoever wants to lock or change a row that somebody else has changed meanwhile waits for him. If
  he commits, the newest version is looked at again and dropped if it does not fit any more. If he
  goes back, nothing happened.
* A row lock lasts until its transaction ends. Our statements know one strength only (FOR UPDATE,
  UPDATE and DELETE exclude each other), and there are no foreign keys that would want another.
* Only one waits for the holder of a row lock; whoever comes later stands in line behind him (the
  "tuple lock" of PostgreSQL's README.tuplock), and so waits for all who stand before him.
* Who waits looks for a circle once, when his wait is `DEADLOCK_TIMEOUT_S` old, and goes down if he
  is in one.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from enum import Enum
from typing import Any, Final

import trio

from sim.database.rows import Row
from sim.database.stepping import task_of_its_own
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
    belongs to. A commit that is not `durable` may be lost when the server crashes. Those who wait
    for its end park at `ended`.
    """

    __slots__ = (
        "_rivals",
        "actor",
        "changes",
        "command",
        "durable",
        "ended",
        "lines",
        "locked",
        "notifications",
        "now",
        "number",
        "order",
        "state",
        "was_awaited_by",
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
        self.lines: dict[Line, None] = {}
        self._rivals = _nobody
        self.ended = trio.lowlevel.ParkingLot()
        self.was_awaited_by = 0

    def __repr__(self) -> str:
        return f"<transaction {self.number} of {self.actor}, {self.state.value}>"

    @property
    def committed(self) -> bool:
        """Whether its changes count."""
        return self.state is State.COMMITTED

    @property
    def waits_for(self) -> Sequence["Transaction"]:
        """Those who keep it from going on."""
        return self._rivals()

    async def wait_until_ended(self, holder: "Transaction") -> None:
        """Wait for `holder` to end. Raises `Contention` (40P01) when he waits for us in turn."""
        await self.wait(holder.ended, lambda: (holder,) if holder.state is State.ACTIVE else ())

    async def wait(
        self, news: trio.lowlevel.ParkingLot, rivals: Callable[[], Sequence["Transaction"]]
    ) -> None:
        """Wait at `news` until there are no `rivals`. Raises `Contention` (40P01) in a circle."""
        self._rivals = rivals
        await task_of_its_own()
        try:
            with trio.move_on_after(DEADLOCK_TIMEOUT_S):
                while rivals():
                    await news.park()
            if self in _all_who_keep(self):
                raise refusal("40P01", "deadlock detected")
            while rivals():
                await news.park()
        finally:
            self._rivals = _nobody

    def end(self, state: State) -> None:
        """Let go of everything, and wake who waited."""
        self.state = state
        for version in self.locked:
            if version.locked_by is self:
                version.locked_by = None
        self.locked.clear()
        for line in list(self.lines):
            line.leave(self)
        self.was_awaited_by = len(self.ended)
        self.ended.unpark_all()


class Line:
    """Those who want one thing, in the order in which they came: the first has it."""

    __slots__ = ("_members", "_moved")

    def __init__(self) -> None:
        self._members: dict[Transaction, None] = {}
        self._moved = trio.lowlevel.ParkingLot()

    async def queue(self, who: Transaction) -> None:
        """Stand in line until `who` is first, and stay there. Raises `Contention` (40P01)."""
        if who in self._members:
            return
        self._members[who] = None
        who.lines[self] = None
        try:
            await who.wait(self._moved, lambda: self._before(who))
        except BaseException:
            self.leave(who)
            raise

    def leave(self, who: Transaction) -> None:
        """Make room, if it stands there."""
        self._members.pop(who, None)
        who.lines.pop(self, None)
        self._moved.unpark_all()

    def _before(self, who: Transaction) -> Sequence[Transaction]:
        members = list(self._members)
        return members[: members.index(who)]


class Place:
    """A statement's place in a line, if it stands in one."""

    __slots__ = ("_who", "line")

    def __init__(self, who: Transaction) -> None:
        self._who = who
        self.line: Line | None = None

    async def take(self, line: Line) -> None:
        """Stand in `line` until all who were there before are gone."""
        self.line = line
        await line.queue(self._who)

    def leave(self) -> None:
        """Make room."""
        if self.line is not None:
            self.line.leave(self._who)
            self.line = None


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


def _nobody() -> Sequence[Transaction]:
    return ()


def _all_who_keep(waiting: Transaction) -> Iterator[Transaction]:
    """For whom it waits, for whom those wait, and so on, each once."""
    found: dict[int, None] = {}
    ahead = list(waiting.waits_for)
    while ahead:
        current = ahead.pop()
        if current.number not in found:
            found[current.number] = None
            yield current
            ahead += current.waits_for
