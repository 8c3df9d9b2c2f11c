"""The server's end of a connection: one transaction at a time, and what a lost line does to it."""

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final, TypeVar

import trio

from sim.database.models import Rows
from sim.database.parameters import read
from sim.database.server import Health, SimServer
from sim.database.statement import Statement
from sim.database.stepping import within
from sim.database.transaction import Transaction
from sim.database.values import refusal
from trioworker.errors import StoreError
from trioworker.store.postgres.database import USER_STATEMENT

T = TypeVar("T")

WRITES: Final = frozenset(
    {
        "add_schedules", "add_token", "cancel_unstarted", "commit", "delete_jobs",
        "delete_schedules", "deploy_script", "due_keys", "due_limits", "due_schedules",
        "end_approvals", "end_flows", "end_stranded", "ended_parents", "enqueue", "expired_jobs",
        "forget_keys", "forget_parents", "forget_results", "forget_workers", "hand_over",
        "heartbeat", "hold_parents", "lock_flows", "lock_flows_of", "lock_keys", "lock_limits",
        "lock_schedules", "mark_lost", "mend_looks", "notify_done", "notify_ready", "old_jobs",
        "plan_looks", "promote", "pull", "push_flow", "read_approval", "reap", "record_migration",
        "register_worker", "release_slots", "replace_jobs", "request_cancel", "requeue_jobs",
        "restart_flows", "retire_worker", "revoke_tokens", "store_attempts", "store_decision",
        "store_expiries", "store_flows", "store_labels", "store_locks", "store_logs",
        "store_preprocessed", "store_progress", "store_results", "store_running", "store_schedules",
        "store_steps", "sweep_cancels", "take_back_jobs", "take_keys", "take_slots",
    }
)  # fmt: skip
"""What a standby refuses (25006)."""


class Session:
    """A backend. `actor` is the process on the other end."""

    def __init__(self, server: SimServer, *, actor: str, durable: bool) -> None:
        self._server = server
        self.actor = actor
        self._durable = durable
        self._transaction: Transaction | None = None
        self._failed = False
        self._work: trio.CancelScope | None = None
        self._heard: Callable[[str, str], None] | None = None
        self._lost: Callable[[], None] = lambda: None
        self._channels: Sequence[str] = ()
        self.alive = True
        server.sessions[self] = None

    @property
    def waits(self) -> bool:
        """Whether a statement of it is under way and waits for somebody."""
        return self._work is not None

    @property
    def waits_for(self) -> Sequence[Transaction]:
        """Those who keep its statement from going on."""
        return () if self._transaction is None else self._transaction.waits_for

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self._transaction is not None

    @property
    def has_failed(self) -> bool:
        """Whether the open transaction takes nothing any more but its end."""
        return self._failed and self._transaction is not None

    def begin(self) -> None:
        """BEGIN."""
        assert self._transaction is None
        self._transaction = self._server.begin(self.actor, durable=self._durable)
        self._failed = False

    def commit(self) -> bool:
        """COMMIT; of a transaction that failed it is a rollback. Whether it was committed."""
        transaction, self._transaction = self._transaction, None
        assert transaction is not None
        if not self._failed:
            self._server.commit(transaction)
        return not self._failed

    def rollback(self) -> None:
        """ROLLBACK, if there is anything to roll back."""
        transaction, self._transaction = self._transaction, None
        if transaction is not None:
            self._server.rollback(transaction)

    async def run(self, name: str, arguments: tuple[object, ...]) -> Rows | None:
        """A named query, in the open transaction or in one of its own.

        None when the session ended while it waited. Raises `StoreError`.
        """
        if name in WRITES:
            self._check_standby(name)

        async def work(statement: Statement) -> Rows:
            read(name, arguments)
            return await self._server.execute(statement, name, arguments)

        return await self.carry_out(work)

    async def user_statement(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        """What a job has handed over, in the open transaction; else like `run`."""
        self._check_standby(USER_STATEMENT)

        async def work(statement: Statement) -> None:
            for row in rows:
                await self._server.user_table.run(statement, sql, row)

        await self.carry_out(work)

    def _check_standby(self, name: str) -> None:
        if self._server.health is Health.STANDBY and not self.has_failed:
            self.fail()
            raise refusal("25006", f"cannot execute {name} in a read-only transaction")

    async def carry_out(self, work: Callable[[Statement], Coroutine[Any, Any, T]]) -> T | None:
        """Whatever `work` does, as one statement; else like `run`."""
        if self.has_failed:
            raise refusal("25P02", "current transaction is aborted")
        own = self._transaction is None
        if own:
            self.begin()
        assert self._transaction is not None
        try:
            result = await within(
                self._interruptible, work(self._server.statement(self._transaction))
            )
        except StoreError:
            self.fail()
            if own:
                self.rollback()
            raise
        if not self.alive:
            # It ended meanwhile, perhaps too late to be interrupted.
            self.rollback()
            return None
        if own:
            self.commit()
        return result

    async def _interruptible(self, rest: Awaitable[T]) -> T | None:
        """What is left of a statement that has to wait: it ends with the session."""
        try:
            with trio.CancelScope() as self._work:
                return await rest
        finally:
            self._work = None
        return None

    def fail(self) -> None:
        """A statement of the open transaction failed: nothing of it remains."""
        if self._transaction is not None:
            self._server.rollback(self._transaction)
            self._failed = True

    def end(self) -> None:
        """The backend is gone: what it had not committed never was."""
        if not self.alive:
            return
        self.alive = False
        self._server.sessions.pop(self, None)
        if self._work is not None:
            self._work.cancel()
        else:
            self.rollback()
        self._lost()

    def listen(
        self,
        channels: Sequence[str],
        heard: Callable[[str, str], None],
        lost: Callable[[], None] = lambda: None,
    ) -> None:
        """LISTEN: from now on commits are heard of, and in the end that the session is over."""
        self._channels = channels
        self._heard = heard
        self._lost = lost

    def notified(self, channel: str, payload: str) -> None:
        """Somebody has committed a notification."""
        if self._heard is not None and channel in self._channels:
            self._heard(channel, payload)
