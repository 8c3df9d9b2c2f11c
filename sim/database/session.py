"""The server's end of a connection: one transaction at a time, and what a lost line does to it."""

from collections.abc import Callable, Sequence
from typing import Final

import trio

from sim.database.models import Rows
from sim.database.server import Health, SimServer
from sim.database.transaction import Transaction
from sim.database.values import refusal
from trioworker.errors import StoreError

WRITES: Final = frozenset(
    {
        "cancel_unstarted", "commit", "enqueue", "forget_workers", "heartbeat",
        "mark_lost", "notify_done", "notify_ready", "pull", "reap", "record_migration",
        "register_worker", "request_cancel", "retire_worker", "store_logs", "sweep_cancels",
    }
)  # fmt: skip
"""What a standby refuses (25006)."""


class Session:
    """A backend. `actor` is the process on the other end."""

    def __init__(self, server: SimServer, *, actor: str, durable: bool) -> None:
        self._server = server
        self._actor = actor
        self._durable = durable
        self._transaction: Transaction | None = None
        self._failed = False
        self._work: trio.CancelScope | None = None
        self._heard: Callable[[str, str], None] | None = None
        self._channels: Sequence[str] = ()
        self.alive = True
        server.sessions[self] = None

    @property
    def waits(self) -> bool:
        """Whether a statement of it is under way and waits for somebody."""
        return self._work is not None

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self._transaction is not None

    def begin(self) -> None:
        """BEGIN."""
        assert self._transaction is None
        self._transaction = self._server.begin(self._actor, durable=self._durable)
        self._failed = False

    def commit(self) -> None:
        """COMMIT; of a transaction that failed it is a rollback."""
        transaction, self._transaction = self._transaction, None
        assert transaction is not None
        if not self._failed:
            self._server.commit(transaction)

    def rollback(self) -> None:
        """ROLLBACK, if there is anything to roll back."""
        transaction, self._transaction = self._transaction, None
        if transaction is not None:
            self._server.rollback(transaction)

    async def run(self, name: str, arguments: tuple[object, ...]) -> Rows | None:
        """One statement, in the open transaction or in one of its own.

        None when the session ended while it waited. Raises `StoreError`.
        """
        if self._failed and self._transaction is not None:
            raise refusal("25P02", "current transaction is aborted")
        if self._server.health is Health.STANDBY and name in WRITES:
            self.fail()
            raise refusal("25006", f"cannot execute {name} in a read-only transaction")
        own = self._transaction is None
        if own:
            self.begin()
        assert self._transaction is not None
        try:
            with trio.CancelScope() as work:
                self._work = work
                rows = await self._server.execute(self._transaction, name, arguments)
        except StoreError:
            self.fail()
            if own:
                self.rollback()
            raise
        finally:
            self._work = None
        if work.cancelled_caught:
            self.rollback()
            return None
        if own:
            self.commit()
        return rows

    def fail(self) -> None:
        """A statement of the open transaction failed: nothing of it remains."""
        if self._transaction is not None:
            self._server.rollback(self._transaction)
            self._failed = True

    def end(self) -> None:
        """The backend is gone: what it had not committed never was."""
        self.alive = False
        self._server.sessions.pop(self, None)
        if self._work is not None:
            self._work.cancel()
        else:
            self.rollback()

    def listen(self, channels: Sequence[str], heard: Callable[[str, str], None]) -> None:
        """LISTEN: from now on commits are heard of."""
        self._channels = channels
        self._heard = heard

    def notified(self, channel: str, payload: str) -> None:
        """Somebody has committed a notification."""
        if self._heard is not None and channel in self._channels:
            self._heard(channel, payload)
