"""The table of a simulated user, and the one statement that jobs hand over for it.

Rule of this file: a row for each time that it is run, whoever has been there before. Nothing but
the transaction keeps an effect from happening twice.
"""

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any, Final
from uuid import UUID

from sim.database.rows import EffectRow
from sim.database.statement import Statement
from sim.database.table import Table
from sim.database.values import check
from trioworker.model.user_statement import UserStatement, user_statement

TABLE: Final = "effect"
SQL: Final = (
    "insert into sim.effect (job, attempt, execution, said, marks) values ($1, $2, $3, $4, $5)"
)
REFUSED: Final = -1
"""An execution that the table does not take."""


def effect(job: UUID, attempt: int, execution: int) -> UserStatement:
    """What a body hands over: values of several types, which all say the same."""
    values = (job, attempt, execution, said_of(attempt, execution), marks_of(attempt, execution))
    return user_statement(SQL, values)


def said_of(attempt: int, execution: int) -> Mapping[str, int]:
    """The two numbers as a mapping, which is stored as JSON."""
    return {"attempt": attempt, "execution": execution}


def marks_of(attempt: int, execution: int) -> Sequence[float]:
    """The two numbers as a list of others."""
    return [attempt / 2, execution / 2]


def is_refused(statement: UserStatement) -> bool:
    """Whether the table does not take this one."""
    return statement.values[2] == REFUSED


class UserTable:
    """It is no table of ours: no query knows it."""

    def __init__(self) -> None:
        self.rows: Table[EffectRow] = Table(TABLE, lambda row: row.number, _check)
        self._numbers = count(1)

    async def run(self, statement: Statement, sql: str, values: Sequence[Any]) -> None:
        """Run what was handed over. Raises `Refused`."""
        assert sql == SQL, f"the model has no parser for {sql[:40]!r}"
        job, attempt, execution, said, marks = values
        row = EffectRow(
            number=next(self._numbers),
            job=job,
            attempt=attempt,
            execution=execution,
            said=said,
            marks=tuple(marks),
        )
        await statement.insert(self.rows, row)


def _check(row: EffectRow) -> None:
    check(row.execution > 0, "effect_execution_check")
