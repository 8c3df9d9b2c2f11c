"""The modelled server: transactions begin and end here, time passes, crashes happen.

Rules of this file:

* A statement takes no time of its own, unless it waits for a lock: time passes on the wire.
* A commit is one moment. Whoever watches (`watchers`) is called at that moment, and sees the tables
  as everybody sees them from then on.
* WAL is written in order. A crash loses the commits since the last one that waited for the disk
  (or since the WAL writer came by), which is what `synchronous_commit = off` risks and no more.
"""

from datetime import UTC, datetime, timedelta
from enum import Enum
from random import Random
from typing import TYPE_CHECKING, Final, Protocol

import trio

from sim.database.models import Rows, all_models
from sim.database.statement import Statement
from sim.database.tables import Tables
from sim.database.transaction import Change, Line, State, Transaction
from sim.database.user_table import UserTable

if TYPE_CHECKING:
    from sim.database.session import Session

EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)
WAL_WRITER_DELAY_S: Final = 0.6
"""How long a commit that did not wait may stay unwritten: three of PostgreSQL's default delays."""


class Health(Enum):
    """What a client meets."""

    UP = "up"
    DOWN = "down"
    STARTING = "starting"
    STANDBY = "standby"


class Watcher(Protocol):
    """Somebody who looks on while transactions take effect."""

    def committed(self, transaction: Transaction) -> None:
        """It counts from this moment on."""
        ...

    def lost(self, transaction: Transaction) -> None:
        """It was committed, and a crash has undone it."""
        ...


class SimServer:
    """One PostgreSQL, whose clock `begins` somewhere; `rng` decides what PostgreSQL leaves open."""

    def __init__(self, rng: Random, begins: datetime = EPOCH) -> None:
        self.tables = Tables()
        self.user_table = UserTable()
        self.health = Health.UP
        self.watchers: list[Watcher] = []
        self.sessions: dict[Session, None] = {}
        self._models = all_models()
        self.rng = rng
        self._begins = begins
        self._skew_s = 0.0
        self._numbers = 0
        self._order = 0
        self._advisory: dict[str, Line] = {}
        self._unwritten: list[tuple[float, Transaction]] = []
        self._dead: list[Change] = []
        self.started_at = self.clock() - timedelta(days=1)

    def __repr__(self) -> str:
        return f"<server {self.health.value}, {len(self.sessions)} sessions>"

    def clock(self) -> datetime:
        """`clock_timestamp()`."""
        return self._begins + timedelta(seconds=trio.current_time() + self._skew_s)

    def jump(self, seconds: float) -> None:
        """The server's clock is set, forward or back."""
        self._skew_s += seconds

    # ---- transactions -------------------------------------------------------------------------

    def begin(self, actor: str, *, durable: bool) -> Transaction:
        """A new transaction."""
        self._numbers += 1
        return Transaction(self._numbers, self.clock(), actor=actor, durable=durable)

    def statement(self, transaction: Transaction) -> Statement:
        """A new statement of a transaction, with a snapshot of now."""
        transaction.command += 1
        return Statement(
            transaction,
            self.tables,
            order=self._order,
            started_at=self.started_at,
            standby=self.health is Health.STANDBY,
            clock=self.clock,
            advisory=self._advisory,
            rng=self.rng,
        )

    async def execute(self, statement: Statement, name: str, arguments: tuple[object, ...]) -> Rows:
        """Run a named query as this statement. Raises `StoreError`."""
        return await self._models[name](statement, *arguments)

    def commit(self, transaction: Transaction) -> None:
        """Make it count, tell who watches, send its notifications."""
        assert transaction.state is State.ACTIVE
        self._order += 1
        transaction.order = self._order
        transaction.end(State.COMMITTED)
        self._write_wal(transaction)
        for watcher in self.watchers:
            watcher.committed(transaction)
        self._forget_dead_versions(transaction)
        for channel, payload in transaction.notifications:
            for session in self.sessions:
                session.notified(channel, payload)

    def rollback(self, transaction: Transaction) -> None:
        """As if it had never been."""
        if transaction.state is State.ACTIVE:
            self._undo(transaction)

    def _undo(self, transaction: Transaction) -> None:
        for change in reversed(transaction.changes):
            if change.after is not None:
                change.table.remove(change.after)
            if change.before is not None:
                change.before.deleted_by = None
                change.before.newer = None
        transaction.end(State.ABORTED)

    def _forget_dead_versions(self, transaction: Transaction) -> None:
        """Vacuum, at once: nobody looks at old versions but statements that wait for a lock."""
        self._dead += [change for change in transaction.changes if change.before is not None]
        if not self._dead or any(session.waits for session in self.sessions):
            return
        for change in self._dead:
            version = change.before
            # A crash may have brought it back to life since.
            if version is not None and version.deleted_by is not None:
                change.table.remove(version)
        self._dead.clear()

    # ---- crashes ------------------------------------------------------------------------------

    def stop(self, *, lose_unwritten: bool) -> int:
        """All sessions end; returns how many commits were lost, which only a crash does."""
        self.health = Health.DOWN
        for session in list(self.sessions):
            session.end()
        lost = self._lose_unwritten() if lose_unwritten else 0
        self._unwritten.clear()
        return lost

    def start(self, health: Health = Health.UP) -> None:
        """Take connections again."""
        if self.health is Health.DOWN:
            self.started_at = self.clock()
        self.health = health

    def _write_wal(self, transaction: Transaction) -> None:
        if not transaction.changes:
            return
        if transaction.durable:
            self._unwritten.clear()
        else:
            self._unwritten.append((trio.current_time(), transaction))

    def _lose_unwritten(self) -> int:
        written_until_s = trio.current_time() - WAL_WRITER_DELAY_S
        lost = [tx for at_s, tx in self._unwritten if at_s > written_until_s]
        for transaction in reversed(lost):
            for change in transaction.changes:
                if change.before is not None:
                    change.table.add(change.before)
            self._undo(transaction)
            for watcher in self.watchers:
                watcher.lost(transaction)
        return len(lost)
