"""Statements that jobs hand over, run in the transaction that stores their success.

Rule of this file: what a job has handed over is run in its order; jobs are done side by side, so
that those with the same text cost one exchange together.
"""

from collections.abc import Sequence
from itertools import zip_longest
from typing import Final

from trioworker.errors import Refused, StatementOfJobTimeout, UnknownStoreError
from trioworker.model.user_statement import UserStatement, Value
from trioworker.store.postgres.database import Transaction

HANDED_OVER: Final = "that was handed over"
"""What an error says of the statement that it is about."""


async def run_user_statements(tx: Transaction, jobs: Sequence[Sequence[UserStatement]]) -> None:
    """Run the statements of each of `jobs`. Raises `StoreError` that says which one failed.

    The texts of a round go in their own order, so that two batches that hold the same ones want the
    same tables in turn.
    """
    for number, together in enumerate(zip_longest(*jobs), start=1):
        rows: dict[str, list[Sequence[Value]]] = {}
        shown: dict[str, str] = {}
        for statement in together:
            if statement is not None:
                rows.setdefault(statement.sql, []).append(statement.values)
                shown[statement.sql] = f"statement {number} {HANDED_OVER}, {statement.shown}"
        for sql in sorted(rows):
            try:
                await tx.user_statement(sql, rows[sql])
            except (Refused, StatementOfJobTimeout, UnknownStoreError) as error:
                raise type(error)(f"{shown[sql]}: {error}", sqlstate=error.sqlstate) from error
