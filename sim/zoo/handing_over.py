"""Mutants of what jobs hand over: effects besides the transaction that they belong to."""

from collections.abc import Iterator, Sequence
from typing import Any, Final
from uuid import UUID

from sim.oracles.handed_over import HandedOver
from sim.plan import HANDS_OVER, Plan, Sizes
from sim.replace import replaced
from sim.zoo.mutant import mutant
from trioworker.model import user_statement
from trioworker.model.outcome import Executed, Succeeded
from trioworker.model.user_statement import UserStatement, Value
from trioworker.store.postgres import effects
from trioworker.store.postgres.database import Transaction
from trioworker.store.postgres.store import COMMIT, PostgresStore
from trioworker.store.postgres.users import run_user_statements
from trioworker.store.protocol import Stored

HANDING_OVER: Final = Plan(
    seed=0,
    sizes=Sizes(workers=2, jobs=20, command_timeout_s=1.0),
    bodies={HANDS_OVER: 3.0, "hand over, refused": 0.2, "ok": 1.0},
    faults={"line lost after the effect": 0.05, "line lost before the effect": 0.05},
)
"""Jobs that hand over, on lines that break."""


@mutant("statements after the transaction", caught_by=HandedOver, plan=HANDING_OVER)
def _after_the_transaction() -> Iterator[None]:
    """What jobs hand over is run when their success is stored, in a transaction of its own."""
    commit = PostgresStore.commit

    async def in_its_own(
        self: PostgresStore, worker: UUID, batch: Sequence[Executed], *, again: bool
    ) -> Stored:
        stored = await commit(self, worker, batch, again=again)
        ends = [e.outcome for e in batch if e.job.id not in stored.lost]
        handed = [o.statements for o in ends if isinstance(o, Succeeded) and o.statements]
        if handed:
            await self._database.transact(COMMIT, lambda tx: run_user_statements(tx, handed))
        return stored

    async def nothing(tx: Transaction, jobs: Sequence[Sequence[UserStatement]]) -> None:
        del tx, jobs

    with (
        replaced(PostgresStore, "commit", in_its_own),
        replaced(effects, "run_user_statements", nothing),
    ):
        yield


@mutant("statements run twice", caught_by=HandedOver, plan=HANDING_OVER)
def _twice() -> Iterator[None]:
    """What jobs hand over is run by a transaction before it, too, which may be committed alone."""
    commit = PostgresStore.commit

    async def before(
        self: PostgresStore, worker: UUID, batch: Sequence[Executed], *, again: bool
    ) -> Stored:
        if again:
            outcomes = [e.outcome for e in batch]
            handed = [o.statements for o in outcomes if isinstance(o, Succeeded) and o.statements]
            await self._database.transact(COMMIT, lambda tx: run_user_statements(tx, handed))
        return await commit(self, worker, batch, again=again)

    with replaced(PostgresStore, "commit", before):
        yield


@mutant("values that lose their types", caught_by=HandedOver, plan=HANDING_OVER)
def _values_that_lose_their_types() -> Iterator[None]:
    """What jobs hand over from a process of their own arrives as JSON has it: numbers as text."""

    def as_json_has_it(pair: list[Any]) -> Value:
        kind, value = pair
        if kind == "list":
            return [as_json_has_it(item) for item in value]
        return right(pair) if kind in ("UUID", "int") else str(value)

    right = user_statement._untyped
    with replaced(user_statement, "_untyped", as_json_has_it):
        yield
